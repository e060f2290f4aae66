//! The questions of `sql/investigations`, built into the program: it works without the checkout.

macro_rules! texts {
    ($($name:literal),+ $(,)?) => {
        &[$((
            concat!("sql/investigations/", $name, ".sql"),
            include_str!(concat!("../../../sql/investigations/", $name, ".sql")),
        )),+]
    };
}

/// Place and text of each; a test finds files that are missing here.
pub(super) const TEXTS: &[(&str, &str)] = texts![
    "busiest_services",
    "capture_gaps",
    "certificate_failures",
    "changes_around",
    "denial_onset",
    "denied_by_policy",
    "error_hotspots",
    "identity_activity",
    "new_edges",
    "path_access",
    "quarantine_summary",
    "request_trail",
    "tls_failures_by_reason",
    "would_be_denials",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::questions::Questions;

    #[test]
    fn every_file_of_the_folder_is_built_in_and_well_formed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../sql/investigations");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".sql"))
            .map(|name| format!("sql/investigations/{name}"))
            .collect();
        files.sort();
        let built_in: Vec<&str> = TEXTS.iter().map(|(place, _)| *place).collect();
        assert_eq!(files, built_in);
        assert_eq!(Questions::built_in().unwrap().iter().count(), TEXTS.len());
    }
}
