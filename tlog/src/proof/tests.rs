use super::*;
use crate::note::{Algorithm, SeedSigner};
use crate::tree::{Node, Nodes, Tree, prove_inclusion};

const LOG: &str = "ledger.example/one";
const SIZE: u64 = 21;

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

struct Entries;

impl Nodes for Entries {
    fn node(&mut self, node: Node) -> Result<Hash, TlogError> {
        let range = node.index << node.level..(node.index + 1) << node.level;
        Ok(range.map(|index| Hash::of_leaf(&entry(index))).collect::<Tree>().root())
    }
}

fn signer(seed: u8) -> SeedSigner {
    SeedSigner::new(LOG, Algorithm::Ed25519, [seed; 32]).unwrap()
}

fn proof(index: u64) -> Proof {
    let root = (0..SIZE).map(|index| Hash::of_leaf(&entry(index))).collect::<Tree>().root();
    let text = Checkpoint { origin: LOG.to_owned(), size: SIZE, root }.to_text();
    let signatures = vec![signer(1).sign(&text, 0)];
    Proof {
        extra: index.is_multiple_of(2).then(|| b"what the application adds".to_vec()),
        index,
        hashes: prove_inclusion(&mut Entries, index, SIZE).unwrap(),
        checkpoint: Note { text, signatures },
    }
}

fn policy() -> Policy {
    Policy::of_log(signer(1).public().clone())
}

#[test]
fn every_entry_is_proven_by_its_file_and_no_other_entry_is() {
    for index in 0..SIZE {
        let text = proof(index).to_text();
        let read = Proof::parse(text.as_bytes()).unwrap();
        assert_eq!(read, proof(index));
        assert_eq!(read.verify(&entry(index), &policy()).unwrap().size, SIZE);
        assert!(read.verify(&entry(index + 1), &policy()).is_err());
        assert!(read.verify(&entry(index), &Policy::of_log(signer(2).public().clone())).is_err());
        for wrong in [index ^ 1, SIZE, u64::MAX] {
            assert!(
                Proof { index: wrong, ..read.clone() }.verify(&entry(index), &policy()).is_err()
            );
        }
        let mut shorter = read.clone();
        let _ = shorter.hashes.pop();
        assert!(shorter.verify(&entry(index), &policy()).is_err());
        let mut resized = read;
        resized.checkpoint.text = resized.checkpoint.text.replace("\n21\n", "\n22\n");
        assert!(resized.verify(&entry(index), &policy()).is_err());
    }
}

#[test]
fn the_file_is_the_specifications() {
    let text = proof(2).to_text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "c2sp.org/tlog-proof@v1");
    assert_eq!(lines[1], "extra d2hhdCB0aGUgYXBwbGljYXRpb24gYWRkcw==");
    assert_eq!(lines[2], "index 2");
    assert_eq!(lines[3..8], proof(2).hashes.iter().map(Hash::to_string).collect::<Vec<_>>());
    assert_eq!((lines[8], lines[9], lines[10]), ("", LOG, "21"));
    assert!(proof(3).to_text().lines().nth(1).unwrap().starts_with("index "));
}

#[test]
fn what_is_no_proof_file_is_refused() {
    let good = proof(2).to_text();
    let hash = format!("{}\n", Hash::of_no_leaves());
    for text in [
        String::new(),
        good.replace("@v1", "@v2"),
        good.replace("index 2", "index 02"),
        good.replace("index 2", "index -2"),
        good.replace("index 2", "index 18446744073709551616"),
        good.replace("index 2\n", ""),
        good.replace("extra d2hh", "extra d2h"),
        good.replace("extra d2hh", "extra extra d2hh"),
        good.replace("index 2\n", "extra AAAA\nindex 2\n"),
        good.replace("index 2\n", &format!("index 2\n{}", hash.repeat(65))),
        good.replace("\n\n", "\n"),
        good.replace('\n', "\r\n"),
        good.lines().take(9).collect::<Vec<_>>().join("\n"),
    ] {
        let error = Proof::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.len() < 500, "{error}");
    }
    assert!(Proof::parse(&vec![b'a'; PROOF_BYTES_MAX + 1]).is_err());
    assert!(Proof::parse(b"\xff").is_err());
}
