//! Generated traffic as one readable stream a cluster, made while it is read.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use indicatif::ProgressBar;
use traffic::Generator;

/// Bytes passed on at a time.
const CHUNK_BYTES: usize = 512 * 1024;
/// Chunks that may wait for a reader; beyond that the generator waits.
const CHUNKS_WAITING_MAX: usize = 8;

/// The stream of one cluster.
pub(crate) struct ClusterStream {
    chunks: Receiver<Vec<u8>>,
    waiting: VecDeque<u8>,
}

/// Starts to generate on a thread of its own; returns one stream a cluster, with its name.
pub(crate) fn start(mut generator: Generator, bar: ProgressBar) -> Vec<(String, ClusterStream)> {
    let names = generator.clusters().to_vec();
    let mut senders = Vec::new();
    let mut streams = Vec::new();
    for name in names {
        let (sender, chunks) = sync_channel(CHUNKS_WAITING_MAX);
        senders.push(Some(sender));
        streams.push((name, ClusterStream { chunks, waiting: VecDeque::new() }));
    }
    std::thread::spawn(move || generate(&mut generator, senders, &bar));
    streams
}

fn generate(
    generator: &mut Generator,
    mut senders: Vec<Option<SyncSender<Vec<u8>>>>,
    bar: &ProgressBar,
) {
    let mut chunks: Vec<Vec<u8>> = senders.iter().map(|_| Vec::new()).collect();
    let mut line = Vec::new();
    while let Some(cluster) = generator.next_line(&mut line) {
        bar.inc(1);
        if let (Some(chunk), Some(sender)) = (chunks.get_mut(cluster), senders.get_mut(cluster)) {
            chunk.append(&mut line);
            if chunk.len() >= CHUNK_BYTES {
                send(sender, std::mem::take(chunk));
            }
        }
        line.clear();
    }
    for (sender, chunk) in senders.iter_mut().zip(chunks) {
        send(sender, chunk);
    }
}

/// A reader that went away gets nothing more; the other clusters go on.
fn send(sender: &mut Option<SyncSender<Vec<u8>>>, chunk: Vec<u8>) {
    if sender.as_ref().is_some_and(|sender| sender.send(chunk).is_err()) {
        *sender = None;
    }
}

impl Read for ClusterStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.waiting.is_empty() {
            match self.chunks.recv() {
                Ok(chunk) => self.waiting = chunk.into(),
                Err(_) => return Ok(0),
            }
        }
        self.waiting.read(buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use traffic::Config;

    #[test]
    fn the_streams_together_hold_every_line() {
        let config = Config { events: 2_000, ..Config::default() };
        let mut lines = 0;
        for (name, mut stream) in start(Generator::new(config).unwrap(), ProgressBar::hidden()) {
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert!(text.ends_with('\n'), "{name}");
            lines += text.lines().count();
        }
        assert_eq!(lines, 2_000);
    }
}
