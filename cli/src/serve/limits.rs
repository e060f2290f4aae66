//! Every bound of the server, with unit and reason.

use std::time::Duration;

use common::limits::DELIVERY_PARTS_BYTES_MAX;
use ingest_fn::http::BODY_BYTES_MAX;

/// Bytes of a body that is too long which are still read, so that its sender sees the answer and
/// no broken connection.
pub(crate) const DRAIN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of bodies in hand: read, decompressed or waiting to be stored. The columns of what is
/// built take about as much again.
pub(crate) const IN_HAND_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Connections at once; further ones wait in the operating system's queue. A shipper or proxy
/// holds one or two.
pub(crate) const CONNECTIONS_MAX: usize = 1024;

/// How long no connection is accepted after one could not be.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Most bytes of a request's head: tokens and trace headers of real ones stay below 16 KiB.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How long a connection may wait for a request, and a request's head may take. Longer than the
/// 60 s after which common proxies give up an idle connection, so that they do it first, and no
/// request is sent into a connection that is being closed.
pub(crate) const HEAD_TIME: Duration = Duration::from_secs(75);

/// How long a body may take to arrive.
pub(crate) const BODY_TIME: Duration = Duration::from_secs(30);

/// How long a request waits for its turn before it is told to come back.
pub(crate) const TURN_TIME: Duration = Duration::from_secs(5);

/// How long a request waits to be stored before it is told to come back. What is stored after all
/// is not added twice.
pub(crate) const STORE_TIME: Duration = Duration::from_secs(60);

/// How long connections are waited for at the end: below the 30 s that Kubernetes gives a process
/// before it kills it.
pub(crate) const END_TIME: Duration = Duration::from_secs(20);

/// Questions read at once, at most 64 MiB of bodies; how many are answered at once, and how many
/// wait for it, the engine says. A proxy sends a body at once, so that many come in together only
/// where senders are slow.
pub(crate) const QUESTIONS_READ_MAX: usize = 64;

/// How long a question may take; the engine's own limit is shorter.
pub(crate) const QUERY_TIME: Duration = Duration::from_secs(310);

/// Deliveries at once: one that is built and one that is stored.
pub(crate) const DELIVERIES_MAX: usize = 2;

/// Most bytes of bodies in one delivery.
pub(crate) const BATCH_BYTES_MAX: usize = DELIVERY_PARTS_BYTES_MAX;

const _: () = assert!(BODY_BYTES_MAX <= BATCH_BYTES_MAX);
const _: () = assert!(2 * BODY_BYTES_MAX <= IN_HAND_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX <= IN_HAND_BYTES_MAX);
