//! What a kernel is made of: fragments, patches, a compiler. And the name that follows from that.

use super::{Arch, Flavor};
use crate::places;
use crate::step::quietly;
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A part of the recipe: a file of the repository.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// All that decides what the kernel will be, but for the source.
#[derive(Debug)]
pub(super) struct Recipe {
    flavor: Flavor,
    arch: Arch,
    /// The later ones win.
    pub(super) fragments: Vec<Part>,
    patches: Vec<Part>,
    /// What the compiler and the linker call themselves.
    compiler: String,
}

impl Recipe {
    /// Reads the recipe from the repository, and asks the compiler who it is.
    pub(super) fn read(flavor: Flavor, arch: Arch) -> Result<Self> {
        let dir = places::root().join("src/guest/kernel");
        let fragments = match (flavor, arch) {
            (Flavor::Standard, Arch::X86_64) => ["box.config", "standard-x86_64.config"],
            (Flavor::Standard, Arch::Aarch64) => ["box.config", "standard-aarch64.config"],
        };
        let series: &[&str] = match flavor {
            Flavor::Standard => &["patches"],
        };
        let mut patches = Vec::new();
        for folder in series {
            patches.extend(patches_of(&dir.join(folder))?);
        }
        let mut recipe = Self {
            flavor,
            arch,
            fragments: fragments.iter().map(|name| part(dir.join(name))).collect::<Result<_>>()?,
            patches: patches.into_iter().map(part).collect::<Result<_>>()?,
            compiler: String::new(),
        };
        recipe.compiler = recipe.ask_compiler()?;
        Ok(recipe)
    }

    /// The kernel's name: whatever changes the kernel changes it.
    pub(super) fn hash(&self, source_version: &str) -> String {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(text);
        };
        add(self.arch_name());
        add(source_version);
        add(&self.compiler);
        add(&self.fragments.len().to_string());
        for part in self.fragments.iter().chain(&self.patches) {
            add(&part.text);
        }
        let name = hash.finalize().iter().take(10).map(|b| format!("{b:02x}")).collect::<String>();
        format!("{}-{}-{name}", self.flavor_name(), self.arch_name())
    }

    /// Patches the source in `tree`, in order.
    pub(super) fn apply_patches(&self, tree: &Path) -> Result<()> {
        for patch in &self.patches {
            let mut command = Command::new("patch");
            // A patch that fits only roughly was made for another source.
            command.args(["--strip=1", "--forward", "--fuzz=0", "--input"]).arg(&patch.path);
            quietly(command.current_dir(tree)).with_context(|| {
                format!("{} does not fit this source: bring it up to date", patch.path.display())
            })?;
        }
        Ok(())
    }

    pub(super) fn flavor_name(&self) -> &'static str {
        match self.flavor {
            Flavor::Standard => "standard",
        }
    }

    pub(super) fn arch_name(&self) -> &'static str {
        match self.arch {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        }
    }

    /// What the kernel's makefiles call the architecture.
    pub(super) fn kbuild_arch(&self) -> &'static str {
        match self.arch {
            Arch::X86_64 => "x86",
            Arch::Aarch64 => "arm64",
        }
    }

    /// The target of make, and the file that it leaves: what VMMs load.
    pub(super) fn product(&self) -> (&'static str, &'static str) {
        match self.arch {
            Arch::X86_64 => ("vmlinux", "vmlinux"),
            Arch::Aarch64 => ("Image", "arch/arm64/boot/Image"),
        }
    }

    /// What the names of the compiler's programs begin with.
    pub(super) fn tool_prefix(&self) -> &'static str {
        match self.arch {
            arch if arch == Arch::HOST => "",
            Arch::X86_64 => "x86_64-linux-gnu-",
            Arch::Aarch64 => "aarch64-linux-gnu-",
        }
    }

    fn ask_compiler(&self) -> Result<String> {
        let package = match self.arch {
            arch if arch == Arch::HOST => "gcc",
            Arch::X86_64 => "gcc-x86-64-linux-gnu",
            Arch::Aarch64 => "gcc-aarch64-linux-gnu",
        };
        let mut told = String::new();
        for tool in ["gcc", "ld"] {
            let program = format!("{}{tool}", self.tool_prefix());
            if Command::new(&program)
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_err()
            {
                bail!(
                    "{program} is missing, which builds kernels for {}: install the package {package}",
                    self.arch_name()
                );
            }
            let version = quietly(Command::new(&program).arg("--version"))?;
            told.push_str(version.lines().next().unwrap_or_default());
            told.push('\n');
        }
        Ok(told)
    }
}

/// The patches in `dir` (it need not exist), in the order of their numbers.
fn patches_of(dir: &Path) -> Result<Vec<PathBuf>> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut paths = entries.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "patch"));
    paths.sort();
    Ok(paths)
}

fn part(path: PathBuf) -> Result<Part> {
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Part { path, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Recipe {
        Recipe::read(Flavor::Standard, Arch::HOST).unwrap()
    }

    #[test]
    fn the_name_follows_from_everything_that_goes_in() {
        let name = recipe().hash("6.12.117-1");
        assert_eq!(name, recipe().hash("6.12.117-1"));
        assert_ne!(name, recipe().hash("6.12.118-1"));
        let mut changed = recipe();
        changed.fragments[0].text.push('\n');
        assert_ne!(name, changed.hash("6.12.117-1"));
        let mut changed = recipe();
        changed.compiler.push('x');
        assert_ne!(name, changed.hash("6.12.117-1"));
        // A text that moves from a fragment to a patch is another kernel.
        let mut changed = recipe();
        let last = changed.fragments.pop().unwrap();
        changed.patches.insert(0, last);
        assert_ne!(name, changed.hash("6.12.117-1"));
    }

    #[test]
    fn a_patch_that_does_not_fit_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0001-x.patch");
        let text = "--- a/file\n+++ b/file\n@@ -1 +1 @@\n-old\n+new\n".to_owned();
        fs::write(&path, &text).unwrap();
        fs::write(dir.path().join("file"), "old\n").unwrap();
        let mut recipe = recipe();
        recipe.patches = vec![Part { path: path.clone(), text }];
        recipe.apply_patches(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "new\n");
        let told = recipe.apply_patches(dir.path()).unwrap_err().to_string();
        assert!(told.contains("0001-x.patch does not fit"), "{told}");
    }
}
