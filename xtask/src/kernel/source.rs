//! Debian's kernel source, from the release that has it, whatever release this machine runs.
//!
//! apt fetches it and checks its signature, with lists and a cache of our own: the system's sources, lists and
//! preferences stay as they are. Only the mirror that they name, and the proxies, are used here too.

use crate::step::{quietly, run};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PACKAGE: &str = "linux-source-6.12";
/// The release that carries the package.
const RELEASE: &str = "trixie";
/// Older sources are not used: raise this to have every machine fetch the current one.
const OLDEST: &str = "6.12.117-1";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Large parts of the tree that no box's kernel is built from; kconfig and make still read their Kconfig files.
const UNUSED: &[&str] = &[
    "drivers/gpu/*.[chS]",
    "drivers/infiniband/*.[ch]",
    "drivers/media/*.[ch]",
    "drivers/net/ethernet/*.[ch]",
    "drivers/net/wireless/*.[ch]",
    "drivers/scsi/*.[ch]",
    "drivers/staging/*.[ch]",
    "arch/*/boot/dts/*.dts*",
    "sound/*.[ch]",
    "tools/testing/*",
];

/// The source package, in the cache.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// The package's version, such as `6.12.117-1`.
    pub(super) version: String,
    package: PathBuf,
}

/// The newest source in the cache that will do.
pub(super) fn cached(cache: &Path) -> Result<Option<Source>> {
    let mut newest: Option<Source> = None;
    for source in packages(&cache.join("source"))? {
        let floor = newest.as_ref().map_or(OLDEST, |n| &n.version);
        if at_least(&source.version, floor)? {
            newest = Some(source);
        }
    }
    Ok(newest)
}

/// Fetches the current source into the cache.
pub(super) fn fetch(cache: &Path) -> Result<Source> {
    ensure!(
        Path::new("/usr/bin/apt-get").exists(),
        "the guest kernel is built on Debian-like systems only: build it on one and copy its cache folder, {}",
        cache.display()
    );
    ensure!(Path::new(KEYRING).exists(), "{KEYRING} is missing: install the package debian-archive-keyring");
    let private = tempfile::Builder::new().prefix(super::UNFINISHED).tempdir_in(cache)?;
    let apt = Apt::prepare(private.path())?;
    apt.run("apt-get", &["update", "-q"]).context("cannot read Debian's package lists")?;
    apt.run("apt-get", &["download", "-q", PACKAGE])
        .with_context(|| format!("cannot fetch {PACKAGE} of Debian {RELEASE}"))?;
    let Some(source) = packages(private.path())?.pop() else {
        bail!("apt-get said that it fetched {PACKAGE}, but there is no such file");
    };
    ensure!(
        at_least(&source.version, OLDEST)?,
        "the mirror's {PACKAGE} is {}, older than {OLDEST}: it is out of date, name another in the apt sources",
        source.version
    );
    let shelf = cache.join("source");
    fs::create_dir_all(&shelf)?;
    // Older ones go: nothing asks for them again.
    for old in packages(&shelf)? {
        fs::remove_file(&old.package)?;
    }
    let package = shelf.join(source.package.file_name().context("a package without a name")?);
    fs::File::open(&source.package)?.sync_all()?;
    fs::rename(&source.package, &package)?;
    Ok(Source { version: source.version, package })
}

impl Source {
    /// Unpacks the kernel's tree into the new folder `tree`, but for what no box's kernel is built from.
    pub(super) fn unpack(&self, tree: &Path) -> Result<()> {
        fs::create_dir(tree)?;
        let mut package =
            piped(Command::new("dpkg-deb").arg("--fsys-tarfile").arg(&self.package), Stdio::null())?;
        let mut member = Command::new("tar");
        member.args(["--extract", "--to-stdout", "--wildcards", "./usr/src/linux-source-*.tar.xz"]);
        let mut member = piped(&mut member, take_stdout(&mut package)?)?;
        let mut unxz =
            piped(Command::new("xz").args(["--decompress", "--threads=0"]), take_stdout(&mut member)?)?;
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--strip-components=1", "--no-same-owner", "--directory"]).arg(tree);
        // Of the documentation, kconfig reads one file.
        tar.args(["--exclude=*/Documentation/[!K]*", "--wildcards-match-slash"]);
        tar.args(UNUSED.iter().map(|part| format!("--exclude=*/{part}")));
        let status = tar.stdin(take_stdout(&mut unxz)?).status().context("cannot run tar")?;
        for (program, mut child) in [("dpkg-deb", package), ("tar", member), ("xz", unxz)] {
            let ended = child.wait()?;
            ensure!(ended.success(), "{program} failed on {}: {ended}", self.package.display());
        }
        ensure!(status.success(), "tar failed on the source in {}: {status}", self.package.display());
        Ok(())
    }
}

fn piped(command: &mut Command, stdin: Stdio) -> Result<std::process::Child> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(stdin).stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {name}"))
}

fn take_stdout(child: &mut std::process::Child) -> Result<Stdio> {
    Ok(child.stdout.take().context("a child without output")?.into())
}

/// The source packages in `dir`, which need not exist.
fn packages(dir: &Path) -> Result<Vec<Source>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("cannot read {}", dir.display()))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let package = entry?.path();
        let name = package.file_name().unwrap_or_default().to_string_lossy();
        if let Some(version) = version(&name) {
            found.push(Source { version, package });
        }
    }
    Ok(found)
}

/// The version in a package file's name, whose colon apt writes as `%3a`.
fn version(file_name: &str) -> Option<String> {
    let rest = file_name.strip_prefix(PACKAGE)?.strip_prefix('_')?;
    Some(rest.strip_suffix("_all.deb")?.replace("%3a", ":"))
}

fn at_least(version: &str, floor: &str) -> Result<bool> {
    let status = Command::new("dpkg").args(["--compare-versions", version, "ge", floor]).status();
    Ok(status.context("cannot run dpkg")?.success())
}

/// An apt with everything that it reads and writes in one folder.
struct Apt<'a> {
    dir: &'a Path,
}

impl<'a> Apt<'a> {
    fn prepare(dir: &'a Path) -> Result<Self> {
        fs::create_dir_all(dir.join("lists/partial"))?;
        fs::create_dir_all(dir.join("archives/partial"))?;
        let named = quietly(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]))?;
        fs::write(dir.join("sources.list"), sources(&named))?;
        Ok(Self { dir })
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(program);
        let mut set = |key: &str, value: &str| {
            command.arg("--option").arg(format!("{key}={value}"));
        };
        let inside = |name: &str| self.dir.join(name).to_string_lossy().into_owned();
        set("Dir::Etc::sourcelist", &inside("sources.list"));
        set("Dir::Etc::sourceparts", "/dev/null");
        set("Dir::Etc::preferences", "/dev/null");
        set("Dir::Etc::preferencesparts", "/dev/null");
        set("Dir::State::lists", &inside("lists"));
        set("Dir::Cache", &inside("."));
        set("Acquire::Languages", "none");
        set("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false");
        set("Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled", "false");
        // apt's own user may not enter the cache of ours.
        set("APT::Sandbox::User", "root");
        run(command.args(arguments).current_dir(self.dir).stdout(Stdio::null()))
    }
}

/// The text of a source list for the release, from the mirrors among the repositories `named`, one a line.
fn sources(named: &str) -> String {
    let mirror = |archive: &str| {
        let ours = |uri: &&str| uri.trim_end_matches('/').rsplit('/').next() == Some(archive);
        let found = named.lines().map(str::trim).find(ours).map(|uri| uri.trim_end_matches('/').to_owned());
        found.unwrap_or_else(|| format!("http://deb.debian.org/{archive}"))
    };
    let (main, security) = (mirror("debian"), mirror("debian-security"));
    format!(
        "deb [signed-by={KEYRING}] {main} {RELEASE} main\n\
         deb [signed-by={KEYRING}] {security} {RELEASE}-security main\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_those_that_the_system_uses() {
        let named = "https://packages.example/apt/\nhttp://mirror.example/pub/debian/\nhttp://mirror.example/pub/debian/\n";
        let text = sources(named);
        assert!(text.contains("http://mirror.example/pub/debian trixie main\n"), "{text}");
        assert!(text.contains("http://deb.debian.org/debian-security trixie-security main\n"), "{text}");
        assert_eq!(text.matches("signed-by=").count(), 2);
    }

    #[test]
    fn only_source_packages_count_and_the_newest_wins() {
        assert_eq!(version("linux-source-6.12_6.12.118-1_all.deb").as_deref(), Some("6.12.118-1"));
        assert_eq!(version("linux-source-6.12_1%3a6.12.118-1_all.deb").as_deref(), Some("1:6.12.118-1"));
        assert_eq!(version("linux-source-6.1_6.1.90-1_all.deb"), None);
        assert_eq!(version("linux-source-6.12_6.12.118-1_all.deb.part"), None);
    }

    #[test]
    fn sources_older_than_the_oldest_are_not_used() {
        let cache = tempfile::tempdir().unwrap();
        assert_eq!(cached(cache.path()).unwrap(), None);
        let shelf = cache.path().join("source");
        fs::create_dir(&shelf).unwrap();
        fs::write(shelf.join("linux-source-6.12_6.12.95-1_all.deb"), "").unwrap();
        assert_eq!(cached(cache.path()).unwrap(), None);
        for version in ["6.12.118-1", "6.12.200-1", "6.12.119-1"] {
            fs::write(shelf.join(format!("linux-source-6.12_{version}_all.deb")), "").unwrap();
        }
        assert_eq!(cached(cache.path()).unwrap().unwrap().version, "6.12.200-1");
    }
}
