//! SHA-256 of eight or sixteen messages at a time, one in each 32-bit lane of a vector register.
//!
//! The one crate here that is not `forbid(unsafe_code)`: calling a function that is compiled for
//! more than the least processor needs `unsafe`, and no library we found offers AVX-512 on
//! processors older than Ice Lake without it. There are three such calls, each right behind the
//! question whether the processor can (docs/decisions/0008).
//!
//! A hash is a chain: one message alone can not use wide registers. Eight independent messages
//! can, and ingest has them: the parts of a delivery. Source of the function: FIPS 180-4.

/// Sixteen rounds, of which each takes the words the one before it left one place further on.
#[cfg(target_arch = "x86_64")]
macro_rules! sixteen_rounds {
    (
        $round:ident, $pass:expr,
        $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident
    ) => {
        $round!(0, $pass, $a $b $c $d $e $f $g $h);
        $round!(1, $pass, $h $a $b $c $d $e $f $g);
        $round!(2, $pass, $g $h $a $b $c $d $e $f);
        $round!(3, $pass, $f $g $h $a $b $c $d $e);
        $round!(4, $pass, $e $f $g $h $a $b $c $d);
        $round!(5, $pass, $d $e $f $g $h $a $b $c);
        $round!(6, $pass, $c $d $e $f $g $h $a $b);
        $round!(7, $pass, $b $c $d $e $f $g $h $a);
        $round!(8, $pass, $a $b $c $d $e $f $g $h);
        $round!(9, $pass, $h $a $b $c $d $e $f $g);
        $round!(10, $pass, $g $h $a $b $c $d $e $f);
        $round!(11, $pass, $f $g $h $a $b $c $d $e);
        $round!(12, $pass, $e $f $g $h $a $b $c $d);
        $round!(13, $pass, $d $e $f $g $h $a $b $c);
        $round!(14, $pass, $c $d $e $f $g $h $a $b);
        $round!(15, $pass, $b $c $d $e $f $g $h $a);
    };
}

#[cfg(not(target_arch = "x86_64"))]
mod narrow;
mod padded;
#[cfg(target_arch = "x86_64")]
mod sixteen;
#[cfg(target_arch = "x86_64")]
mod wide;

#[cfg(not(target_arch = "x86_64"))]
pub use narrow::{digests, digests_of_padded};
#[cfg(target_arch = "x86_64")]
pub use wide::{digests, digests_of_padded};

pub use padded::{BLOCK_BYTES, Padded};

/// Messages hashed side by side.
pub const LANES: usize = 8;
