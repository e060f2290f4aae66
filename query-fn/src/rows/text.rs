//! One column's values as text.

use arrow::array::Array;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, FieldRef};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Moments with a zone; they are in UTC by then.
pub(super) const MOMENT: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";
/// Moments without a zone.
pub(super) const NAIVE_MOMENT: &str = "%Y-%m-%dT%H:%M:%S%.6f";

/// How JSON is made.
pub(super) fn json_options() -> EncoderOptions {
    EncoderOptions::default()
        .with_explicit_nulls(true)
        .with_timestamp_format(NAIVE_MOMENT.to_owned())
        .with_timestamp_tz_format(MOMENT.to_owned())
}

const DISPLAY: FormatOptions<'static> = FormatOptions::new()
    .with_display_error(false)
    .with_timestamp_format(Some(NAIVE_MOMENT))
    .with_timestamp_tz_format(Some(MOMENT));

/// Values of one column: plain ones as people write them, nested ones as JSON.
pub(super) struct Texts<'a> {
    nulls: Option<NullBuffer>,
    form: Form<'a>,
}

enum Form<'a> {
    Plain(ArrayFormatter<'a>),
    Json(NullableEncoder<'a>),
}

impl<'a> Texts<'a> {
    pub(super) fn plain(array: &'a dyn Array) -> Result<Self, ArrowError> {
        let form = Form::Plain(ArrayFormatter::try_new(array, &DISPLAY)?);
        Ok(Self { nulls: array.logical_nulls(), form })
    }

    pub(super) fn new(
        field: &'a FieldRef,
        array: &'a dyn Array,
        options: &'a EncoderOptions,
    ) -> Result<Self, ArrowError> {
        if !array.data_type().is_nested() || matches!(array.data_type(), DataType::Null) {
            return Self::plain(array);
        }
        match make_encoder(field, array, options) {
            Ok(encoder) => Ok(Self { nulls: array.logical_nulls(), form: Form::Json(encoder) }),
            // Nested values of a type JSON has no form for.
            Err(_) => Self::plain(array),
        }
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Replaces `text` by the value, which is not NULL.
    pub(super) fn read(&mut self, row: usize, text: &mut String) -> Result<(), ArrowError> {
        text.clear();
        match &mut self.form {
            Form::Plain(formatter) => formatter.value(row).write(text),
            Form::Json(encoder) => {
                let mut json = Vec::new();
                encoder.encode(row, &mut json);
                text.push_str(&String::from_utf8_lossy(&json));
                Ok(())
            }
        }
    }
}
