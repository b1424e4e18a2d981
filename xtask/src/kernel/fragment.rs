//! Configuration fragments: what we ask of kconfig, and whether it was given.
//!
//! kconfig silently drops what it does not know or cannot have, and silently takes what something else selects.
//! Both would leave a kernel that is not the one described, so every line asked for is compared with the outcome.

use anyhow::{Result, bail, ensure};
use std::collections::BTreeMap;

/// Values by option (`CONFIG_…`); `n` stands for "is not set".
type Values = BTreeMap<String, String>;

/// Refuses a configuration in which a line of `fragments` (the later ones win) did not come true.
pub(super) fn check(fragments: &[&str], outcome: &str) -> Result<()> {
    let mut wanted = Values::new();
    for fragment in fragments {
        wanted.extend(parse(fragment)?);
    }
    let got = parse(outcome)?;
    let lost: Vec<String> = wanted
        .iter()
        .filter_map(|(option, want)| {
            let have = got.get(option).map_or("n", String::as_str);
            let told = if got.contains_key(option) { have } else { "not there" };
            (have != want).then(|| format!("    {option}: {want} was asked for, it is {told}"))
        })
        .collect();
    ensure!(
        lost.is_empty(),
        "kconfig did not keep what the fragments ask for (an option that it needs is missing, or another selects it):\n{}",
        lost.join("\n")
    );
    Ok(())
}

/// The options of a fragment or a `.config`. A line that is neither an option nor a comment is an error, and so is an
/// option that one text sets twice.
fn parse(text: &str) -> Result<Values> {
    let mut values = Values::new();
    for (number, line) in (1..).zip(text.lines()) {
        let unset = line.strip_prefix("# CONFIG_").and_then(|rest| rest.strip_suffix(" is not set"));
        let (option, value) = match (unset, line.split_once('=')) {
            (Some(name), _) => (format!("CONFIG_{name}"), "n"),
            (None, Some((option, value))) if is_option(option) => (option.to_owned(), value),
            _ if line.trim().is_empty() || line.starts_with('#') => continue,
            _ => bail!("line {number} of the kernel's configuration is no option: {line}"),
        };
        if values.insert(option, value.to_owned()).is_some() {
            bail!("line {number} of the kernel's configuration sets an option again: {line}");
        }
    }
    Ok(values)
}

fn is_option(word: &str) -> bool {
    let name = word.strip_prefix("CONFIG_").unwrap_or_default();
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTCOME: &str =
        "# Automatically generated\nCONFIG_NET=y\n# CONFIG_ACPI is not set\nCONFIG_LSM=\"landlock\"\n";

    #[test]
    fn what_kconfig_kept_passes() {
        let fragment = "# words\n\nCONFIG_NET=y\n# CONFIG_ACPI is not set\n# CONFIG_GONE is not set\n";
        check(&[fragment, "CONFIG_LSM=\"landlock\""], OUTCOME).unwrap();
    }

    #[test]
    fn a_later_fragment_wins() {
        check(&["CONFIG_ACPI=y", "# CONFIG_ACPI is not set"], OUTCOME).unwrap();
    }

    #[test]
    fn every_dropped_and_every_changed_option_is_named() {
        let fragment = "# CONFIG_NET is not set\nCONFIG_ACPI=y\nCONFIG_EROFS_FS=y\nCONFIG_LSM=\"\"\n";
        let told = check(&[fragment], OUTCOME).unwrap_err().to_string();
        assert!(told.contains("CONFIG_NET: n was asked for, it is y"), "{told}");
        assert!(told.contains("CONFIG_ACPI: y was asked for, it is n"), "{told}");
        assert!(told.contains("CONFIG_EROFS_FS: y was asked for, it is not there"), "{told}");
        assert!(told.contains("CONFIG_LSM: \"\" was asked for, it is \"landlock\""), "{told}");
    }

    #[test]
    fn slips_of_the_pen_are_errors() {
        assert!(check(&["CONFIG_NET"], OUTCOME).is_err());
        assert!(check(&["CONFG_NET=y"], OUTCOME).is_err());
        assert!(check(&["CONFIG_NET=y\nCONFIG_NET=y"], OUTCOME).is_err());
    }
}
