//! What is deployed: how it is built, checked and packed, and what is not in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use meshledger_tests::paths::repository;
use meshledger_tests::runtime_api::RuntimeApi;
use meshledger_tests::zip::program;

const FUNCTIONS: [&str; 2] = ["ingest", "maintain"];

fn binary(function: &str) -> Vec<u8> {
    fs::read(program(&format!("meshledger-{function}-fn"))).unwrap()
}

fn has(binary: &[u8], word: &[u8]) -> bool {
    binary.windows(word.len()).any(|part| part == word)
}

#[test]
fn aws_lc_and_its_jitter_entropy_are_not_linked() {
    let lock = fs::read_to_string(repository().join("Cargo.lock")).unwrap();
    for name in ["aws-lc-sys", "aws-lc-rs", "openssl-sys"] {
        assert!(!lock.contains(&format!("name = \"{name}\"")), "Cargo.lock has {name}");
    }
    assert!(lock.contains("name = \"ring\""), "nobody speaks TLS");
    for function in FUNCTIONS {
        let binary = binary(function);
        for word in ["aws_lc_", "jent_entropy", "jitterentropy"] {
            assert!(!has(&binary, word.as_bytes()), "{function} has {word}");
        }
        // The test would see it: another library's names are there.
        assert!(has(&binary, b"ring-0.17") || has(&binary, b"ring_core_0_17"), "{function}");
    }
}

#[test]
fn ingest_and_maintain_have_no_query_engine() {
    for function in FUNCTIONS {
        assert!(!has(&binary(function), b"datafusion"), "{function} has DataFusion");
        let manifest = repository().join(format!("{function}-fn/Cargo.toml"));
        assert!(!fs::read_to_string(manifest).unwrap().contains("datafusion"), "{function}");
    }
}

fn pack(function: &str, binary: &Path, zip: &Path) -> Output {
    let script = repository().join("infra/lambda/pack.py");
    Command::new("python3").arg(script).arg(function).args([binary, zip]).output().unwrap()
}

#[test]
fn the_same_binary_is_the_same_zip_and_one_that_lambda_could_not_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let stripped = folder.path().join("stripped");
    let maintain = program("meshledger-maintain-fn");
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(maintain).status().unwrap();
    assert!(strip.success());
    let zips = ["a.zip", "b.zip"].map(|name| folder.path().join(name));
    for zip in &zips {
        let packed = pack("maintain", &stripped, zip);
        let said = String::from_utf8_lossy(&packed.stdout);
        assert!(packed.status.success() && said.contains("SHA-256"), "{packed:?}");
        // Another file time is no other zip.
        let touched = Command::new("touch").args(["-d", "2001-01-01"]).arg(&stripped).status();
        assert!(touched.unwrap().success());
    }
    assert!(fs::read(&zips[0]).unwrap() == fs::read(&zips[1]).unwrap(), "two zips of one binary");

    // Jitter entropy is found, wherever it comes from.
    let mut bytes = fs::read(&stripped).unwrap();
    bytes.extend(b"jent_entropy_init");
    let tainted = folder.path().join("tainted");
    fs::write(&tainted, bytes).unwrap();
    let packed = pack("maintain", &tainted, &folder.path().join("c.zip"));
    let said = String::from_utf8_lossy(&packed.stderr);
    assert!(!packed.status.success() && said.contains("AWS_LC_SYS_NO_JITTER_ENTROPY"), "{said}");

    // So is a library that Lambda's system does not have.
    let odd = Path::new("/bin/bash");
    let packed = pack("maintain", odd, &folder.path().join("d.zip"));
    let said = String::from_utf8_lossy(&packed.stderr);
    assert!(!packed.status.success() && said.contains(" needs "), "{said}");
}

#[test]
fn a_target_without_a_standard_library_is_refused_and_nothing_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let called = folder.path().join("called");
    // A toolchain without other targets, and programs that must not be asked to get one.
    let tool = |name: &str, script: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let library = folder.path().join("nothing").display().to_string();
    tool(
        "rustc",
        &format!("case $1 in -vV) echo host: x86_64-unknown-linux-gnu;; *) echo {library};; esac"),
    );
    for name in ["cargo", "rustup", "curl", "wget"] {
        tool(name, &format!("echo {name} >>{}", called.display()));
    }
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let build = |arguments: &[&str]| {
        let script = repository().join("infra/lambda/build.sh");
        let run = Command::new(script).args(arguments).env("PATH", &path).output().unwrap();
        (run.status.code(), String::from_utf8_lossy(&run.stderr).into_owned())
    };
    let (code, said) = build(&["--target", "aarch64-unknown-linux-gnu"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no standard library for aarch64-unknown-linux-gnu"), "{said}");
    assert!(said.contains("Nothing was downloaded"), "{said}");
    for wrong in
        [&["--target", "wasm32-wasip1"][..], &["--function", "all"], &["--fast"], &["--out"]]
    {
        let (code, said) = build(wrong);
        assert!(code == Some(1) && said.contains("infra/lambda/build.sh: "), "{wrong:?}: {said}");
    }
    assert!(!called.exists(), "{}", fs::read_to_string(called).unwrap_or_default());
}

#[test]
fn a_function_asks_for_work_before_it_asks_anything_of_the_bucket() {
    for function in ["ingest", "maintain", "query"] {
        let path = program(&format!("meshledger-{function}-fn"));
        // Port 1 is never served: a function that asked would not come up.
        let environment = [
            ("MESHLEDGER_ARCHIVE", "s3://audit/mesh".to_owned()),
            ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1".to_owned()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ];
        // How soon is measured by bench/startup.py, of what is deployed.
        let _ = RuntimeApi::start_program(path.to_str().unwrap(), &environment).first_poll();
    }
}

/// The linker of deployed builds takes the oldest version of what glibc gave a new one after 2.34.
#[test]
fn what_is_linked_for_lambda_needs_no_newer_glibc_than_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let (source, built) = (folder.path().join("hypot.c"), folder.path().join("hypot"));
    let text = "double hypot(double, double); float hypotf(float, float);\n\
                int main(int count, char **given) {\n\
                  return hypot(count * 3, 4) == 5 && hypotf(count * 3, 4) == 5 ? 0 : 1;\n\
                }\n";
    fs::write(&source, text).unwrap();
    let linker = repository().join("infra/lambda/cc.sh");
    let mut link = Command::new(linker);
    let link = link.arg("-fno-builtin").arg(&source).arg("-o").arg(&built).arg("-lm");
    assert!(link.status().unwrap().success());
    // Should the old function lead back to the new one, this would never end.
    let run = Command::new("timeout").arg("10").arg(&built).status().unwrap();
    assert!(run.success(), "{run}");
    let symbols = Command::new("readelf").args(["--wide", "--dyn-syms"]).arg(&built).output();
    let symbols = String::from_utf8(symbols.unwrap().stdout).unwrap();
    let hypot: Vec<&str> = symbols.lines().filter(|line| line.contains("hypot")).collect();
    let is_first = |line: &&str| line.contains("GLIBC_2.2.5") || line.contains("GLIBC_2.17");
    assert!(hypot.len() == 2 && hypot.iter().all(is_first), "{symbols}");
}
