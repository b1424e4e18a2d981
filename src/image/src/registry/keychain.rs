//! Who we are at which registry: Docker's `config.json`, and the credential helpers that it names.
//!
//! The file is Docker's (`$DOCKER_CONFIG` or `~/.docker`), so that one login serves both programs; what we do not
//! know in it stays as it is.

use super::auth::Credentials;
use crate::{ImageError, Result};
use a3s_box_files::Scratch;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The most of `config.json` or of a helper's answer that is read, in bytes.
const MAX_CONFIG: u64 = 1 << 20;
/// How long a helper may take; it may ask the user to unlock something.
const HELPER: Duration = Duration::from_secs(120);
/// Docker Hub's name in `config.json` and to helpers, which is older than its registry.
const HUB: &str = "https://index.docker.io/v1/";
/// What a helper calls a user who is known by a token alone.
const TOKEN_USER: &str = "<token>";

/// Where credentials come from.
#[derive(Debug, Clone, Default)]
pub struct Keychain {
    /// Docker's folder, where there is one.
    folder: Option<PathBuf>,
    /// What goes before all else, for one registry.
    given: Option<(String, Credentials)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl Keychain {
    /// Docker's own, in `$DOCKER_CONFIG` or `~/.docker`.
    pub fn from_env() -> Self {
        let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let folder = set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")));
        Self { folder, given: None }
    }

    /// The one in `folder`, as Docker would keep it there.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Some(folder.into()), given: None }
    }

    /// The same, but `credentials` for `registry`.
    #[must_use]
    pub fn with(mut self, registry: &str, credentials: Credentials) -> Self {
        self.given = Some((registry.to_owned(), credentials));
        self
    }

    /// Who we are at `registry`, if anybody.
    pub fn get(&self, registry: &str) -> Result<Option<Credentials>> {
        if let Some((host, credentials)) = &self.given
            && host == registry
        {
            return Ok(Some(credentials.clone()));
        }
        let Some(path) = self.path() else { return Ok(None) };
        let config = read(&path)?;
        if let Some(helper) = helper(&config, registry) {
            return ask(&helper, &key(registry));
        }
        let entry = config.get("auths").and_then(Value::as_object).and_then(|auths| {
            auths.get(&key(registry)).or_else(|| {
                auths.iter().find(|(name, _)| host(name) == host(&key(registry))).map(|(_, entry)| entry)
            })
        });
        let Some(entry) = entry else { return Ok(None) };
        let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(token) = text("identitytoken") {
            return Ok(Some(Credentials { username: TOKEN_USER.into(), password: token.into() }));
        }
        if let (Some(username), Some(password)) = (text("username"), text("password")) {
            return Ok(Some(Credentials { username: username.into(), password: password.into() }));
        }
        let Some(auth) = text("auth") else { return Ok(None) };
        let bad = || ImageError::corrupt(path.display(), format!("the entry of {registry} is not base64"));
        let decoded = STANDARD.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or_else(bad)?;
        let (username, password) = decoded.split_once(':').ok_or_else(bad)?;
        let password = password.trim_end_matches('\0');
        Ok(Some(Credentials { username: username.into(), password: password.into() }))
    }

    /// Keeps `credentials` for `registry` as Docker would: with the helper that `config.json` names, else in it.
    /// Where they are now.
    pub fn store(&self, registry: &str, credentials: &Credentials) -> Result<String> {
        let path = self.path().ok_or_else(homeless)?;
        let mut config = read(&path)?;
        let key = key(registry);
        if let Some(helper) = helper(&config, registry) {
            let secret = json!({"ServerURL": key, "Username": credentials.username,
                "Secret": credentials.password});
            run(&helper, "store", secret.to_string().as_bytes())?;
            return Ok(program(&helper));
        }
        let encoded = STANDARD.encode(format!("{}:{}", credentials.username, credentials.password));
        let auths = config.entry("auths").or_insert_with(|| json!({}));
        let bad = || ImageError::corrupt(path.display(), "\"auths\" is not an object");
        auths.as_object_mut().ok_or_else(bad)?.insert(key, json!({"auth": encoded}));
        write(&path, &config)?;
        Ok(path.display().to_string())
    }

    /// Forgets who we are at `registry`. Whether there was anything to forget.
    pub fn erase(&self, registry: &str) -> Result<bool> {
        let path = self.path().ok_or_else(homeless)?;
        let mut config = read(&path)?;
        let key = key(registry);
        let mut known = false;
        if let Some(helper) = helper(&config, registry) {
            known = ask(&helper, &key)?.is_some();
            if known {
                run(&helper, "erase", key.as_bytes())?;
            }
        }
        if let Some(auths) = config.get_mut("auths").and_then(Value::as_object_mut) {
            let before = auths.len();
            auths.retain(|name, _| host(name) != host(&key));
            if auths.len() != before {
                known = true;
                write(&path, &config)?;
            }
        }
        Ok(known)
    }

    fn path(&self) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join("config.json"))
    }
}

fn homeless() -> ImageError {
    ImageError::Settings {
        what: "there is no place for credentials: neither DOCKER_CONFIG nor HOME is set".into(),
    }
}

/// What `config.json` and helpers call `registry`.
fn key(registry: &str) -> String {
    if registry == "docker.io" { HUB.to_owned() } else { registry.to_owned() }
}

/// The host of a key of `config.json`, which may be a URL.
fn host(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    key.split('/').next().unwrap_or_default()
}

/// The helper that keeps the credentials of `registry`.
fn helper(config: &Map<String, Value>, registry: &str) -> Option<String> {
    let own = config
        .get("credHelpers")
        .and_then(|helpers| helpers.get(registry).or_else(|| helpers.get(key(registry))));
    let name = own.or_else(|| config.get("credsStore"))?.as_str()?;
    // It becomes part of a program's name.
    let sane = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    (sane && !name.is_empty()).then(|| name.to_owned())
}

fn program(helper: &str) -> String {
    format!("docker-credential-{helper}")
}

/// What `helper` knows of `server`.
fn ask(helper: &str, server: &str) -> Result<Option<Credentials>> {
    let (found, said) = call(helper, "get", server.as_bytes())?;
    if !found {
        // The protocol has no other way to say so than this sentence.
        return match String::from_utf8_lossy(&said).trim() {
            "credentials not found in native keychain" => Ok(None),
            said => Err(failed(helper, said)),
        };
    }
    let answer: Answer = serde_json::from_slice(&said)
        .map_err(|e| ImageError::corrupt(format!("the answer of {}", program(helper)), e))?;
    Ok(Some(Credentials { username: answer.username, password: answer.secret }))
}

fn run(helper: &str, verb: &str, input: &[u8]) -> Result<()> {
    match call(helper, verb, input)? {
        (true, _) => Ok(()),
        (false, said) => Err(failed(helper, String::from_utf8_lossy(&said).trim())),
    }
}

fn failed(helper: &str, said: &str) -> ImageError {
    let said: String = said.chars().take(200).collect();
    ImageError::Helper { program: program(helper), said: said.escape_debug().to_string() }
}

/// Runs a helper. Whether it succeeded, and what it printed.
fn call(helper: &str, verb: &str, input: &[u8]) -> Result<(bool, Vec<u8>)> {
    let program = program(helper);
    let bad = |source| ImageError::Io { action: format!("run {program}"), source };
    let mut child = Command::new(&program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(bad)?;
    // A helper that reads nothing breaks the pipe, which is its own business.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input));
    let stdout = child.stdout.take();
    let (sender, answer) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut said = Vec::new();
        let read = stdout.map_or(Ok(0), |stdout| stdout.take(MAX_CONFIG).read_to_end(&mut said));
        let _ = sender.send(read.map(|_| said));
    });
    let said = answer.recv_timeout(HELPER).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    if said.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(bad)?;
    Ok((status.success(), said.map_err(bad)?))
}

fn read(path: &Path) -> Result<Map<String, Value>> {
    let mut json = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_CONFIG).read_to_end(&mut json)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Map::new()),
        other => other.map_err(ImageError::io("read", path))?,
    };
    if json.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    serde_json::from_slice(&json).map_err(|e| ImageError::corrupt(path.display(), e))
}

/// Writes it for its owner's eyes alone, which is how temporary files begin.
fn write(path: &Path, config: &Map<String, Value>) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(ImageError::io("create", folder))?;
    let mut json = serde_json::to_vec_pretty(config).map_err(|e| ImageError::corrupt(path.display(), e))?;
    json.push(b'\n');
    Scratch::write(path, &json).map_err(ImageError::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn user(name: &str) -> Credentials {
        Credentials { username: name.into(), password: "p:w".into() }
    }

    #[test]
    fn logins_are_kept_as_docker_keeps_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        fs::write(&path, r#"{"detachKeys":"ctrl-q","auths":{"https://old.example/v1/":{"auth":"YTpi"}}}"#)
            .unwrap();
        let keychain = Keychain::at(dir.path());
        assert_eq!(keychain.get("docker.io").unwrap(), None);
        keychain.store("docker.io", &user("hub")).unwrap();
        keychain.store("host:5000", &user("own")).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("https://index.docker.io/v1/") && text.contains("ctrl-q"), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(keychain.get("docker.io").unwrap(), Some(user("hub")));
        assert_eq!(keychain.get("host:5000").unwrap(), Some(user("own")));
        assert_eq!(keychain.get("host").unwrap(), None);
        let old = Credentials { username: "a".into(), password: "b".into() };
        assert_eq!(keychain.get("old.example").unwrap(), Some(old));
        assert!(keychain.erase("docker.io").unwrap());
        assert!(!keychain.erase("docker.io").unwrap());
        assert_eq!(keychain.get("docker.io").unwrap(), None);
        let other = keychain.with("docker.io", user("given"));
        assert_eq!(other.get("docker.io").unwrap(), Some(user("given")));
    }

    #[test]
    fn a_damaged_file_is_named_and_left() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), "{").unwrap();
        let keychain = Keychain::at(dir.path());
        assert!(keychain.get("docker.io").unwrap_err().to_string().contains("config.json"));
        assert!(keychain.store("docker.io", &user("x")).is_err());
        assert_eq!(fs::read_to_string(dir.path().join("config.json")).unwrap(), "{");
    }

    #[test]
    fn helpers_are_chosen_by_registry_and_their_names_are_names() {
        let config = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        let both = config(r#"{"credsStore":"all","credHelpers":{"gcr.io":"gcloud"}}"#);
        assert_eq!(helper(&both, "gcr.io").as_deref(), Some("gcloud"));
        assert_eq!(helper(&both, "ghcr.io").as_deref(), Some("all"));
        assert_eq!(helper(&config(r#"{"credsStore":"../../bin/sh"}"#), "ghcr.io"), None);
        assert_eq!(helper(&config("{}"), "ghcr.io"), None);
    }
}
