//! Lines of text that differ from lines before them in nothing but times, ports, counts, ids and
//! paths: their rows differ in the same places only, and are put together without parsing.
//!
//! A template is learned by example. The parser reads a line of its kind in which every hole is
//! filled with a mark, and where a mark turns up in the row, there the row of each such line has
//! what stands in that hole. All other columns come from the marked line, so they can not depend
//! on what is in the holes. A template is used if it gives the row of the line it was learned
//! from (docs/decisions/0011).

mod cut;
mod hole;
use std::hash::{BuildHasher, Hasher};

use archive::SegmentEncoder;
use common::schema::{COLUMNS, ColumnType};
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::parse::event::{Cell, Event, Row};
use crate::parse::fields as f;
use cut::Cutter;
use hole::Hole;

/// Templates of a delivery; further lines are parsed.
const TEMPLATES_MAX: usize = 4096;

/// Bytes that they may take.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest line that is looked at. A longer one is not like others.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// Lines after which it is asked whether looking for templates pays.
const TRIED: u32 = 4096;

/// How often marks are chosen anew that stand in a line by chance.
const ATTEMPTS: usize = 4;

/// Columns without a dictionary, or in which few values repeat: they are set by their values.
const ALWAYS_OPEN: [usize; 7] = [
    f::RAW,
    f::ATTRIBUTES,
    f::EVENT_TIME,
    f::REQUEST_ID,
    f::TRACE_ID,
    f::SPAN_ID,
    f::CORRELATION_ID,
];

/// The templates of a delivery.
#[derive(Debug)]
pub(crate) struct Templates {
    cutter: Cutter,
    /// What the line in hand has in common with others.
    key: Vec<u8>,
    known: Known,
    /// Columns that depend on holes in some template. In all others they are set by value too,
    /// since such a column may give up its dictionary.
    open: u128,
    /// Marked lines made so far, by which kinds are told.
    learned: u32,
    text: Vec<u8>,
    tries: u32,
    found: u32,
    off: bool,
}

/// The kinds of lines, by what they have in common.
struct Known {
    table: HashTable<(u32, u32)>,
    hash: FixedState,
    /// Where each key lies, and what is known.
    kinds: Vec<(usize, usize, State)>,
    keys: Vec<u8>,
    /// Bytes of templates.
    bytes: usize,
}

/// What is known of a kind of lines.
#[derive(Debug)]
enum State {
    /// One such line came; a second one shows that it pays to learn.
    Seen,
    /// Rows of such lines are not to be told beforehand.
    Refused,
    Learned(Template),
}

/// What the rows of a kind of lines have in common, and where they differ.
#[derive(Debug)]
struct Template {
    /// The name of `same` for [`SegmentEncoder::recall`]. No key of Envoy records is as short.
    name: [u8; 4],
    /// The columns that are the same.
    same: Box<Event>,
    time: Value,
    /// The others. One list of small steps, since a delivery has hundreds of templates, which do
    /// not stay in the nearest cache.
    steps: Vec<Step>,
    /// Texts of `steps`.
    bytes: Vec<u8>,
}

/// A step on the way to the columns that are set by value.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Sets a column to the line as it stands.
    Line(u8),
    /// Sets a column to what stands in a hole.
    Hole(u8, u8),
    /// Sets a column to the template's bytes between two places.
    Same(u8, u32, u32),
    /// Appends what stands in a hole to the text in hand.
    PushHole(u8),
    /// Appends the template's bytes between two places.
    PushSame(u32, u32),
    /// Sets a column to the text in hand, and begins the next one.
    Pushed(u8),
    /// Sets a number column.
    Int32(u8, Value),
    Int64(u8, Value),
}

/// A number.
#[derive(Debug, Clone, Copy)]
enum Value {
    Same(i64),
    /// That of a hole, times something.
    Hole(u8, i32),
}

/// What [`Templates::look`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The line's row can be put together; this is its time in microseconds.
    Known(i64, usize),
    /// It is time to learn the template of the line's kind.
    Learnable(usize),
    /// The line is to be parsed.
    Unknown,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("kinds", &self.kinds.len()).finish_non_exhaustive()
    }
}

impl Templates {
    /// None yet. `seed` keeps whoever writes log lines from choosing lines that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            cutter: Cutter::new(),
            key: Vec::new(),
            known: Known {
                table: HashTable::new(),
                hash: FixedState::with_seed(seed),
                kinds: Vec::new(),
                keys: Vec::new(),
                bytes: 0,
            },
            open: ALWAYS_OPEN.iter().fold(0, |mask, column| mask | 1 << column),
            learned: 0,
            text: Vec::new(),
            tries: 0,
            found: 0,
            off: false,
        }
    }

    /// Lines whose template was known or was learned, and lines looked at.
    #[cfg(test)]
    pub(crate) fn found(&self) -> (u32, u32) {
        (self.found, self.tries)
    }

    /// Looks for the template of a line.
    pub(crate) fn look(&mut self, line: &[u8]) -> Look {
        if self.off || line.len() > LINE_BYTES_MAX || !self.cutter.cut(line) {
            return Look::Unknown;
        }
        self.tries += 1;
        if self.tries >= TRIED {
            self.off = self.found < self.tries / 2;
            (self.tries, self.found) = (0, 0);
        }
        key_of(line, &self.cutter.holes, &mut self.key);
        let Some(number) = self.known.find(&self.key) else {
            self.known.insert(&self.key);
            return Look::Unknown;
        };
        match self.known.kinds.get(number) {
            Some((_, _, State::Learned(template))) => {
                self.found += 1;
                Look::Known(template.time.of_line(&self.cutter.holes), number)
            }
            Some((_, _, State::Seen)) => Look::Learnable(number),
            _ => Look::Unknown,
        }
    }

    /// Sets the columns of the line looked for last, whose template is known, in the row in hand.
    pub(crate) fn write(&mut self, line: &[u8], number: usize, rows: &mut SegmentEncoder) {
        let Some((_, _, State::Learned(template))) = self.known.kinds.get(number) else { return };
        if !rows.recalls() {
            template.same.write(rows);
        } else if !rows.recall(&template.name, &mut Vec::new()) {
            let mut learner = rows.learn(&template.name);
            template.same.write(&mut learner);
            learner.finish(&[]);
        }
        template.open(line, &self.cutter.holes, &mut self.text, rows);
    }

    /// Learns the template of the line looked for last; `parse` gives the one event of a line, if
    /// it has one. Says whether the template is known now.
    pub(crate) fn learn(
        &mut self,
        line: &[u8],
        number: usize,
        mut parse: impl FnMut(&[u8], &mut Event) -> bool,
    ) -> Look {
        let holes = std::mem::take(&mut self.cutter.holes);
        let template = self.template(line, &holes, &mut parse);
        self.found += u32::from(template.is_some());
        let look = match &template {
            Some(template) => Look::Known(template.time.of_line(&holes), number),
            None => Look::Unknown,
        };
        self.cutter.holes = holes;
        let known = &mut self.known;
        let Some((_, _, state)) = known.kinds.get_mut(number) else { return Look::Unknown };
        *state = match template {
            Some(template) => {
                known.bytes += template.memory_bytes();
                State::Learned(template)
            }
            None => State::Refused,
        };
        look
    }

    fn template(
        &mut self,
        line: &[u8],
        holes: &[Hole],
        parse: &mut impl FnMut(&[u8], &mut Event) -> bool,
    ) -> Option<Template> {
        let (marked, marks) = (0..ATTEMPTS).find_map(|attempt| marked(line, holes, attempt))?;
        let mut example = Event::default();
        if !parse(&marked, &mut example) {
            return None;
        }
        let mut own = Event::default();
        if !parse(line, &mut own) {
            return None;
        }
        let before = self.open;
        self.open |= depending(&example, &own);
        if before != self.open {
            self.known.forget();
        }
        self.learned += 1;
        let name = self.learned.to_le_bytes();
        let template = Template::of(name, &example, &marked, &marks, self.open)?;
        let mut again = Event::default();
        template.same.write(&mut again);
        template.open(line, holes, &mut self.text, &mut again);
        again.is_same(&own).then_some(template)
    }
}

impl Template {
    /// The template of marked lines with this row. `open` are the columns set by value.
    fn of(
        name: [u8; 4],
        example: &Event,
        marked: &[u8],
        marks: &Marks,
        open: u128,
    ) -> Option<Self> {
        let mut template = Self {
            name,
            same: Box::default(),
            time: Value::of(example.time_micros()?, marks),
            steps: Vec::new(),
            bytes: Vec::new(),
        };
        for (column, cell) in example.cells() {
            let small = u8::try_from(column).ok().filter(|_| open & (1 << column) != 0);
            let same = &mut template.same;
            match (cell, small) {
                (Cell::Text(text), Some(small)) if column == f::RAW && text == marked => {
                    template.steps.push(Step::Line(small));
                }
                (Cell::Text(text), Some(small)) => template.text_steps(small, text, marks)?,
                (Cell::Int(number), Some(small)) => {
                    let value = Value::of(number, marks);
                    let is_narrow = COLUMNS.get(column)?.kind == ColumnType::Int32;
                    let wide = Step::Int64(small, value);
                    template.steps.push(if is_narrow { Step::Int32(small, value) } else { wide });
                }
                (Cell::Text(text), None) => same.text(column, text),
                (Cell::Int(number), None) => same.int64(column, number),
                (Cell::Bool(value), _) => same.bool(column, value),
                (Cell::List(items), _) => same.list(column, items),
            }
        }
        template.steps.shrink_to_fit();
        Some(template)
    }

    /// Adds the steps of a text: what stands between marks, and the holes they are in.
    fn text_steps(&mut self, column: u8, text: &[u8], marks: &Marks) -> Option<()> {
        let mut found: Vec<(usize, usize)> = Vec::new();
        for (hole, (mark, _)) in marks.iter().enumerate() {
            found.extend(places(text, mark).map(|at| (at, hole)));
        }
        found.sort_unstable();
        let first = self.steps.len();
        let mut at = 0;
        for (start, hole) in found {
            self.push_same(text.get(at..start)?)?;
            self.steps.push(Step::PushHole(u8::try_from(hole).ok()?));
            at = start + marks.get(hole)?.0.len();
        }
        self.push_same(text.get(at..)?)?;
        match self.steps.get(first..)? {
            [Step::PushHole(hole)] => *self.steps.last_mut()? = Step::Hole(column, *hole),
            [Step::PushSame(start, end)] => {
                *self.steps.last_mut()? = Step::Same(column, *start, *end);
            }
            _ => self.steps.push(Step::Pushed(column)),
        }
        Some(())
    }

    fn push_same(&mut self, text: &[u8]) -> Option<()> {
        if !text.is_empty() {
            let start = u32::try_from(self.bytes.len()).ok()?;
            self.bytes.extend_from_slice(text);
            self.steps.push(Step::PushSame(start, u32::try_from(self.bytes.len()).ok()?));
        }
        Some(())
    }

    /// Sets the columns of a line that are set by value.
    fn open(&self, line: &[u8], holes: &[Hole], text: &mut Vec<u8>, row: &mut impl Row) {
        let in_hole =
            |hole: u8| holes.get(usize::from(hole)).map_or(&[][..], |hole| hole.text(line));
        let same =
            |start: u32, end: u32| self.bytes.get(start as usize..end as usize).unwrap_or_default();
        text.clear();
        for step in &self.steps {
            match *step {
                Step::Line(column) => row.text(column.into(), line),
                Step::Hole(column, hole) => row.text(column.into(), in_hole(hole)),
                Step::Same(column, start, end) => row.text(column.into(), same(start, end)),
                Step::PushHole(hole) => text.extend_from_slice(in_hole(hole)),
                Step::PushSame(start, end) => text.extend_from_slice(same(start, end)),
                Step::Pushed(column) => {
                    row.text(column.into(), text);
                    text.clear();
                }
                Step::Int32(column, value) => {
                    let number = i32::try_from(value.of_line(holes)).unwrap_or_default();
                    row.int32(column.into(), number);
                }
                Step::Int64(column, value) => row.int64(column.into(), value.of_line(holes)),
            }
        }
    }

    /// About how much memory it takes.
    fn memory_bytes(&self) -> usize {
        /// Of an event with some forty columns.
        const EVENT_BYTES: usize = 3 * 1024;
        EVENT_BYTES + self.bytes.capacity() + self.steps.capacity() * size_of::<Step>()
    }
}

impl Value {
    /// Milliseconds are kept as microseconds.
    const FACTORS: [i32; 2] = [1, 1000];

    fn of(number: i64, marks: &Marks) -> Self {
        let some = (0u8..).zip(marks).filter(|(_, (_, value))| *value != 0);
        let mut holes = some.map(|(hole, (_, value))| (hole, *value));
        let found = holes.find_map(|(hole, value)| {
            let is_it = |factor: &i32| value * i64::from(*factor) == number;
            Some(Self::Hole(hole, Self::FACTORS.into_iter().find(is_it)?))
        });
        found.unwrap_or(Self::Same(number))
    }

    /// The number in a line with these holes.
    fn of_line(self, holes: &[Hole]) -> i64 {
        match self {
            Self::Same(number) => number,
            Self::Hole(hole, factor) => {
                holes.get(usize::from(hole)).map_or(0, |hole| hole.value * i64::from(factor))
            }
        }
    }
}

impl Known {
    fn hash_of(&self, key: &[u8]) -> u64 {
        hash_of(&self.hash, key)
    }

    fn find(&self, key: &[u8]) -> Option<usize> {
        let hash = self.hash_of(key);
        let is_it = |&(half, number): &(u32, u32)| {
            half == low(hash)
                && self
                    .kinds
                    .get(number as usize)
                    .is_some_and(|(start, end, _)| self.keys.get(*start..*end) == Some(key))
        };
        self.table.find(hash, is_it).map(|&(_, number)| number as usize)
    }

    /// Notes a kind that came for the first time, if there is room.
    fn insert(&mut self, key: &[u8]) {
        let is_full = self.kinds.len() >= TEMPLATES_MAX
            || self.bytes + self.keys.len() + key.len() > BYTES_MAX;
        let Some(number) = u32::try_from(self.kinds.len()).ok().filter(|_| !is_full) else {
            return;
        };
        let hash = self.hash_of(key);
        let start = self.keys.len();
        self.keys.extend_from_slice(key);
        self.kinds.push((start, self.keys.len(), State::Seen));
        let (kinds, keys, hasher) = (&self.kinds, &self.keys, &self.hash);
        self.table.insert_unique(hash, (low(hash), number), |&(_, number)| {
            let place =
                kinds.get(number as usize).and_then(|(start, end, _)| keys.get(*start..*end));
            hash_of(hasher, place.unwrap_or_default())
        });
    }

    /// Forgets what was learned.
    fn forget(&mut self) {
        for (_, _, state) in &mut self.kinds {
            if matches!(state, State::Learned(_)) {
                *state = State::Seen;
            }
        }
        self.bytes = 0;
    }
}

fn hash_of(hash: &FixedState, key: &[u8]) -> u64 {
    let mut hasher = hash.build_hasher();
    hasher.write(key);
    hasher.finish()
}

/// The low half.
fn low(hash: u64) -> u32 {
    let [a, b, c, d, ..] = hash.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// What a line has in common with others: the text between its holes, then what sort each hole is
/// of and how long the text before it.
fn key_of(line: &[u8], holes: &[Hole], key: &mut Vec<u8>) {
    key.clear();
    let mut at = 0;
    for hole in holes {
        key.extend_from_slice(line.get(at..hole.start).unwrap_or_default());
        at = hole.end;
    }
    key.extend_from_slice(line.get(at..).unwrap_or_default());
    let mut at = 0;
    for hole in holes {
        let [low, high, ..] = (hole.start - at).to_le_bytes();
        key.extend_from_slice(&[hole.form(), low, high]);
        at = hole.end;
    }
}

/// Marks by hole, each with the number or time that it is.
type Marks = Vec<(Vec<u8>, i64)>;

/// A line with a mark in each hole; `None` if marks stand in the line already.
fn marked(line: &[u8], holes: &[Hole], attempt: usize) -> Option<(Vec<u8>, Marks)> {
    let (mut text, mut starts, mut at) = (Vec::new(), Vec::new(), 0);
    for (index, hole) in holes.iter().enumerate() {
        let mark = hole.mark(index, attempt);
        if places(line, &mark).next().is_some() {
            return None;
        }
        text.extend_from_slice(line.get(at..hole.start)?);
        starts.push((text.len(), mark.len()));
        text.extend_from_slice(&mark);
        at = hole.end;
    }
    text.extend_from_slice(line.get(at..)?);
    let mut marks = Vec::new();
    for ((start, length), hole) in starts.into_iter().zip(holes) {
        let again = Hole::at(&text, start, hole.class)?;
        let mark = text.get(start..start + length)?;
        if again.end != start + length || places(&text, mark).nth(1).is_some() {
            return None;
        }
        marks.push((mark.to_vec(), again.value));
    }
    Some((text, marks))
}

/// Where a piece stands in a text. Both are short: preparing a search would cost more.
fn places<'a>(text: &'a [u8], piece: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = piece.first().copied().unwrap_or_default();
    let begins = move |at: &usize| text.get(*at..).is_some_and(|rest| rest.starts_with(piece));
    memchr::memchr_iter(first, text).filter(begins)
}

/// Columns of numbers and texts of which two rows of a kind have different values, as bits.
fn depending(one: &Event, other: &Event) -> u128 {
    one.cells()
        .filter(|(_, cell)| matches!(cell, Cell::Text(_) | Cell::Int(_)))
        .filter(|(column, cell)| other.cell(*column).as_ref() != Some(cell))
        .fold(0, |mask, (column, _)| mask | 1 << column)
}
