//! Bind mounts: large and many files of the host's in a box, against the same on the box's own disk.

use super::{Home, median, ratio, report};
use crate::build;
use crate::host::{Host, Pair};
use crate::step::{quietly, step};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The large file, in MiB.
const LARGE: usize = 256;
/// Folders, and files in each.
const MANY: usize = 100;

/// An operation in the folder `$1`, and what is asked for.
struct Work {
    what: &'static str,
    script: &'static str,
    /// How long it may take: 200 MiB/s are asked of reading, half as much of writing.
    most: Duration,
}

const WORK: [Work; 5] = [
    Work {
        what: "reading 256 MiB",
        script: "cat $1/large > /dev/null",
        most: Duration::from_millis(LARGE as u64 * 1000 / 200),
    },
    Work {
        what: "writing 64 MiB",
        script: "dd if=/dev/zero of=$1/out bs=1M count=64 conv=fsync 2> /dev/null",
        most: Duration::from_millis(64 * 1000 / 100),
    },
    Work {
        what: "`find -size` of 10,000 files",
        script: "find $1/tree -type f -size +1k > /dev/null",
        most: Duration::from_secs(3),
    },
    Work {
        what: "the same once more",
        script: "find $1/tree -type f -size +1k > /dev/null",
        most: Duration::from_secs(3),
    },
    Work {
        what: "`tar` of 1,000 of them",
        script: "tar c -C $1/tree $(seq 0 9) > /dev/null",
        most: Duration::from_secs(3),
    },
];

/// Measures the pairs of VMM and accelerator that this host runs, or the one called `on`.
pub(super) fn run(rounds: usize, on: Option<&str>) -> Result<()> {
    let programs = build::run_all()?;
    let pairs = Host::ask(&programs)?.pairs();
    let wanted: Vec<Pair> = pairs.into_iter().filter(|p| on.is_none_or(|on| p.to_string() == on)).collect();
    ensure!(!wanted.is_empty(), "this host runs no such boxes: see `a3s-box doctor`");
    let shared = tempfile::tempdir()?;
    fill(shared.path())?;
    let mut body = "Each round boots a box, whose caches are empty; the host's hold everything. A share below 1 is slower than \
                    the box's own disk.\n"
        .to_owned();
    for pair in wanted {
        body += &measure(pair, rounds, shared.path())?;
    }
    report::write("Bind mounts", "cargo xtask bench files", &body)
}

fn fill(shared: &Path) -> Result<()> {
    let mut noise = vec![0; 1 << 20];
    File::open("/dev/urandom")?.read_exact(&mut noise)?;
    let mut large = File::create(shared.join("large"))?;
    for _ in 0..LARGE {
        large.write_all(&noise)?;
    }
    for folder in 0..MANY {
        let folder_path = shared.join("tree").join(folder.to_string());
        fs::create_dir_all(&folder_path)?;
        for file in 0..MANY {
            fs::write(folder_path.join(file.to_string()), &noise[..folder * file])?;
        }
    }
    Ok(())
}

fn measure(pair: Pair, rounds: usize, shared: &Path) -> Result<String> {
    let home = Home::new()?;
    let a3s = |args: &[&str]| {
        let mut command = home.a3s(args);
        pair.ask(&mut command);
        command
    };
    let mount = format!("{}:/mount", shared.display());
    let args = ["run", "-d", "--name", "f", "--memory", "1g", "-v", &mount, "busybox", "sleep", "100000"];
    quietly(&mut a3s(&args))?;
    quietly(&mut a3s(&["exec", "f", "cp", "-r", "/mount", "/own"]))?;
    let mut times: Vec<[Vec<Duration>; 2]> = WORK.iter().map(|_| Default::default()).collect();
    step(&format!("{rounds} rounds on {pair}"), || {
        for _ in 0..rounds {
            quietly(&mut a3s(&["restart", "-t", "0", "f"]))?;
            quietly(&mut a3s(&["exec", "f", "true"]))?;
            for (work, times) in WORK.iter().zip(&mut times) {
                for (place, times) in ["/mount", "/own"].into_iter().zip(times) {
                    let begin = Instant::now();
                    let mut command = a3s(&["exec", "f", "sh", "-ec", work.script, "sh", place]);
                    let status = command.stdout(Stdio::null()).status().context("cannot run a3s-box")?;
                    ensure!(status.success(), "{} failed in {place}", work.what);
                    times.push(begin.elapsed());
                }
            }
        }
        Ok(())
    })?;
    quietly(&mut a3s(&["rm", "-f", "f"]))?;
    let mut table = format!("\n| {pair} | mount | own disk | share | asked for |\n|---|---|---|---|---|\n");
    for (work, [mount, own]) in WORK.iter().zip(&times) {
        let (mount, own) = (median(mount), median(own));
        let ms = |time: Duration| format!("{} ms", time.as_millis());
        let share = ratio(own, mount);
        table +=
            &format!("| {} | {} | {} | {share:.2} | {} |\n", work.what, ms(mount), ms(own), ms(work.most));
    }
    Ok(table)
}
