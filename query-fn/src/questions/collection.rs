//! The questions of `sql/investigations` and the reports of `sql/compliance`, built into the program:
//! it works without the checkout.

macro_rules! texts {
    ($($name:literal),+ $(,)?) => {
        &[$((
            concat!("sql/", $name, ".sql"),
            include_str!(concat!("../../../sql/", $name, ".sql")),
        )),+]
    };
}

/// Place and text of each; a test finds files that are missing here.
pub(super) const TEXTS: &[(&str, &str)] = texts![
    "compliance/fedramp/au_11",
    "compliance/fedramp/au_2",
    "compliance/fedramp/au_3_1",
    "compliance/fedramp/au_6",
    "compliance/fedramp/au_8",
    "compliance/hipaa/164_308_a_1_ii_d",
    "compliance/hipaa/164_308_a_5_ii_c",
    "compliance/hipaa/164_312_b",
    "compliance/hipaa/164_312_d",
    "compliance/hipaa/164_312_e_1",
    "compliance/hipaa/164_316_b_2_i",
    "compliance/nist_800_53/ac_6_9",
    "compliance/nist_800_53/au_10",
    "compliance/nist_800_53/au_11",
    "compliance/nist_800_53/au_12",
    "compliance/nist_800_53/au_2",
    "compliance/nist_800_53/au_3",
    "compliance/nist_800_53/au_5",
    "compliance/nist_800_53/au_6",
    "compliance/nist_800_53/au_8",
    "compliance/nist_800_53/au_9",
    "compliance/pci_dss/10_2_1_1",
    "compliance/pci_dss/10_2_1_2",
    "compliance/pci_dss/10_2_1_3",
    "compliance/pci_dss/10_2_1_4",
    "compliance/pci_dss/10_2_1_5",
    "compliance/pci_dss/10_2_1_6",
    "compliance/pci_dss/10_2_1_7",
    "compliance/pci_dss/10_2_2",
    "compliance/pci_dss/10_3_3",
    "compliance/pci_dss/10_3_4",
    "compliance/pci_dss/10_4_1",
    "compliance/pci_dss/10_5_1",
    "compliance/pci_dss/10_6_1",
    "compliance/pci_dss/10_7_2",
    "compliance/soc2/cc6_1",
    "compliance/soc2/cc6_2",
    "compliance/soc2/cc6_3",
    "compliance/soc2/cc6_6",
    "compliance/soc2/cc6_7",
    "compliance/soc2/cc7_2",
    "compliance/soc2/cc7_3",
    "compliance/soc2/cc8_1",
    "investigations/access_by_principal",
    "investigations/busiest_services",
    "investigations/capture_by_source",
    "investigations/capture_gaps",
    "investigations/certificate_failures",
    "investigations/changes_around",
    "investigations/denial_onset",
    "investigations/denied_by_policy",
    "investigations/error_hotspots",
    "investigations/error_onset",
    "investigations/identity_activity",
    "investigations/latency_outliers",
    "investigations/new_edges",
    "investigations/path_access",
    "investigations/policy_changes",
    "investigations/policy_impact",
    "investigations/privilege_use",
    "investigations/quarantine_summary",
    "investigations/request_trail",
    "investigations/service_graph",
    "investigations/services_without_capture",
    "investigations/tls_failures_by_reason",
    "investigations/would_be_denials",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::questions::Questions;

    fn files_below(folder: &std::path::Path, place: &str, files: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let place = format!("{place}/{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                files_below(&path, &place, files);
            } else {
                files.push(place);
            }
        }
    }

    #[test]
    fn every_file_of_the_folders_is_built_in_and_well_formed() {
        let sql = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql");
        let mut files = Vec::new();
        for folder in ["investigations", "compliance"] {
            files_below(&sql.join(folder), &format!("sql/{folder}"), &mut files);
        }
        files.sort();
        let built_in: Vec<&str> = TEXTS.iter().map(|(place, _)| *place).collect();
        assert_eq!(files, built_in);
        assert_eq!(Questions::built_in().unwrap().iter().count(), TEXTS.len());
    }

    #[test]
    fn each_is_named_by_its_file_and_says_what_it_costs() {
        let questions = Questions::parse(TEXTS.iter().copied()).unwrap();
        for (place, text) in TEXTS {
            let file = place.trim_start_matches("sql/").trim_end_matches(".sql");
            let (folder, file) = file.split_once('/').unwrap();
            let question = questions.get(&file.replace('/', "_")).unwrap();
            assert!(question.question.ends_with('?'), "{place}: {}", question.question);
            assert!(question.cost.is_some(), "{place} does not say what it costs");
            assert!(question.params.iter().all(|param| !param.help.is_empty()), "{place}");
            assert_eq!(question.control.is_some(), folder == "compliance", "{place}");
            let says_what_not =
                text.contains("\n-- It shows") && text.contains("-- It does not show");
            assert_eq!(says_what_not, folder == "compliance", "{place}");
        }
    }
}
