//! The requests of a pull to one registry: who asks, how often, and what the answers mean.

use super::auth::{Challenge, Credentials};
use super::retry::{Patience, asked_for, is_passing};
use super::settings::Endpoint;
use super::wire::Wire;
use super::{Descriptor, Digest, ImageError, ImageRef, Result};
use crate::digest::VerifyingReader;
use crate::manifest::{
    DOCKER_LIST, DOCKER_MANIFEST, MAX_CONFIG, MAX_MANIFEST, NodeKind, OCI_INDEX, OCI_MANIFEST,
};
use serde::Deserialize;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use ureq::http::Response;
use ureq::tls::TlsConfig;
use ureq::{Agent, Body, Timeout};

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(30);
/// Until an answer begins, and between two pieces of it.
const SILENCE: Duration = Duration::from_secs(60);
const MAX_REDIRECTS: u32 = 5;
/// The most of an error or a token that is read, in bytes.
const MAX_ANSWER: u64 = 64 << 10;

/// A conversation with one registry about one repository. Several threads may hold it at once.
pub(super) struct Client {
    agent: Agent,
    endpoint: Endpoint,
    credentials: Option<Credentials>,
    /// The `Authorization` header, once the registry asked for one.
    authorization: Mutex<Option<String>>,
    /// Whether the registry ever answered: one that never did is not waited for.
    reached: AtomicBool,
}

/// A part of a blob: from a byte on, up to another one or the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub start: u64,
    pub end: Option<u64>,
}

impl Client {
    pub(super) fn new(endpoint: Endpoint, credentials: Option<Credentials>) -> Self {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(!endpoint.plain)
            .max_redirects(MAX_REDIRECTS)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .max_idle_connections_per_host(8)
            .tls_config(TlsConfig::builder().root_certs(endpoint.roots.clone()).build())
            .user_agent(concat!("a3s-box/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity");
        if endpoint.local {
            // A proxy's own loopback is not ours.
            config = config.proxy(None);
        }
        Self {
            agent: config.build().new_agent(),
            endpoint,
            credentials,
            authorization: Mutex::new(None),
            reached: AtomicBool::new(false),
        }
    }

    /// The registry, as errors call it.
    pub(super) fn host(&self) -> &str {
        &self.endpoint.host
    }

    /// Patience for one thing to come.
    pub(super) fn patience(&self) -> Patience {
        Patience::new(self.endpoint.tries)
    }

    /// Asks the registry whether it takes our credentials.
    pub(super) fn ping(&self) -> Result<()> {
        let action = format!("log in to {}", self.endpoint.host);
        let url = format!("{}/v2/", self.endpoint.base());
        let response = self.answer(&action, &url, None)?;
        if response.status().is_success() { Ok(()) } else { Err(refused(&action, response)) }
    }

    /// What `reference` means now: a descriptor, and the JSON that it describes.
    pub(super) fn manifest(&self, reference: &ImageRef) -> Result<(Descriptor, Vec<u8>)> {
        let name = reference
            .digest()
            .map_or_else(|| reference.tag().unwrap_or_default().to_owned(), |digest| digest.to_string());
        let (top, json) = self.named_manifest(&reference.to_string(), &name)?;
        if let Some(pinned) = reference.digest()
            && pinned != top.digest
        {
            let reason = format!("its digest is {}", top.digest);
            return Err(ImageError::corrupt(format!("image {reference}"), reason));
        }
        Ok((top, json))
    }

    /// The manifest that the repository calls `name`; errors call it `shown`.
    pub(super) fn named_manifest(&self, shown: &str, name: &str) -> Result<(Descriptor, Vec<u8>)> {
        let action = format!("pull {shown}");
        let not_found = |e| match e {
            ImageError::Refused { ref answer, .. } if answer.starts_with("404") => {
                ImageError::NotFound { name: shown.to_owned(), meant: String::new() }
            }
            other => other,
        };
        let (media_type, json) = self
            .patiently(
                &action,
                |response| {
                    let stated = response.headers().get("content-type").and_then(|value| value.to_str().ok());
                    let media_type =
                        stated.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned();
                    Ok((media_type, read(response, MAX_MANIFEST)?))
                },
                &format!("manifests/{name}"),
            )
            .map_err(not_found)?;
        let json = json.ok_or_else(|| {
            ImageError::too_large(format!("the registry's answer to {action}"), MAX_MANIFEST)
        })?;
        let top = Descriptor::new(&media_type, Digest::of(&json), json.len() as u64);
        NodeKind::of(&top)?;
        Ok((top, json))
    }

    /// A whole small blob, verified: a manifest, a configuration, a signature's payload.
    pub(super) fn bytes(&self, blob: &Descriptor) -> Result<Vec<u8>> {
        let thing = format!("blob {}", blob.digest);
        let limit = MAX_CONFIG.max(MAX_MANIFEST);
        if blob.size > limit {
            return Err(ImageError::too_large(thing, limit));
        }
        let kind = if NodeKind::of(blob).is_ok() { "manifests" } else { "blobs" };
        let action = format!("get {} from {}", blob.digest, self.endpoint.host);
        let take = |response: Response<Body>| {
            let mut content = Vec::new();
            let body =
                VerifyingReader::new(Wire::new(response.into_body().into_reader()), blob.digest, blob.size);
            match { body }.read_to_end(&mut content) {
                Ok(_) => Ok(Ok(content)),
                Err(e) if e.kind() == io::ErrorKind::InvalidData => Ok(Err(e)),
                Err(e) => Err(e),
            }
        };
        let read = self.patiently(&action, take, &format!("{kind}/{}", blob.digest))?;
        read.map_err(|e| ImageError::read(&thing, e))
    }

    /// The answer to a request for a blob, or for `range` of it. It may still be the whole blob.
    pub(super) fn blob(&self, blob: &Descriptor, range: Option<Range>) -> Result<Response<Body>> {
        let action = format!("get {} from {}", blob.digest, self.endpoint.host);
        self.get(&action, &format!("blobs/{}", blob.digest), range)
    }

    /// Gets `path` and hands the answer to `take`, again if the connection fails meanwhile.
    fn patiently<T>(
        &self,
        action: &str,
        take: impl Fn(Response<Body>) -> io::Result<T>,
        path: &str,
    ) -> Result<T> {
        let mut patience = self.patience();
        loop {
            match take(self.get(action, path, None)?) {
                Ok(taken) => return Ok(taken),
                Err(_) if patience.wait(None) => {}
                Err(e) => return Err(ImageError::Unreachable { action: action.into(), source: Box::new(e) }),
            }
        }
    }

    /// A successful answer about `path` of the repository.
    fn get(&self, action: &str, path: &str, range: Option<Range>) -> Result<Response<Body>> {
        let url = format!("{}/v2/{}/{path}", self.endpoint.base(), self.endpoint.repository);
        let response = self.answer(action, &url, range)?;
        if response.status().is_success() { Ok(response) } else { Err(refused(action, response)) }
    }

    /// The registry's answer, with credentials where it wants some, and after tries where it failed for now.
    fn answer(&self, action: &str, url: &str, range: Option<Range>) -> Result<Response<Body>> {
        let mut patience = self.patience();
        let mut asked_who = false;
        loop {
            let used = self.authorization().clone();
            let response = match self.request(url, used.as_deref(), range) {
                Ok(response) => response,
                Err(e) if self.may_recover(&e) && patience.wait(None) => continue,
                Err(e) => return Err(unreachable(action, e)),
            };
            self.reached.store(true, Ordering::Relaxed);
            let status = response.status();
            if status == 401 && !asked_who {
                // Once a request: a token may have run out since the last one.
                asked_who = true;
                let challenges = response.headers().get_all("www-authenticate").iter();
                let challenge = challenges.filter_map(|value| value.to_str().ok()).find_map(Challenge::parse);
                if self.renew(action, used, challenge)? {
                    continue;
                }
            }
            if is_passing(status) && patience.wait(asked_for(response.headers())) {
                continue;
            }
            return Ok(response);
        }
    }

    /// Gets a new `Authorization` header in place of `used`, unless another thread has done so. Whether there is
    /// one now.
    fn renew(&self, action: &str, used: Option<String>, challenge: Option<Challenge>) -> Result<bool> {
        let mut current = self.authorization();
        if *current == used {
            let fresh = self.authorize(action, challenge)?;
            *current = fresh;
        }
        Ok(current.is_some() && *current != used)
    }

    fn authorization(&self) -> MutexGuard<'_, Option<String>> {
        self.authorization.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the same request may succeed later. What never answered is told at once: a wrong name, most often.
    fn may_recover(&self, error: &ureq::Error) -> bool {
        let reached = self.reached.load(Ordering::Relaxed);
        match error {
            ureq::Error::HostNotFound | ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => reached,
            ureq::Error::Io(e) => match e.kind() {
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable => reached,
                // TLS reports what is wrong with a certificate so.
                io::ErrorKind::InvalidData => false,
                _ => true,
            },
            ureq::Error::Timeout(_) | ureq::Error::Protocol(_) | ureq::Error::ConnectionFailed => true,
            _ => false,
        }
    }

    fn request(
        &self,
        url: &str,
        authorization: Option<&str>,
        range: Option<Range>,
    ) -> Result<Response<Body>, ureq::Error> {
        let accept = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST, "*/*;q=0.1"].join(", ");
        let mut request = self.agent.get(url).header("accept", accept);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        if let Some(Range { start, end }) = range {
            let last = end.map(|end| (end - 1).to_string()).unwrap_or_default();
            request = request.header("range", format!("bytes={start}-{last}"));
        }
        request.call()
    }

    /// The header that answers `challenge`, or none where we have no answer.
    fn authorize(&self, action: &str, challenge: Option<Challenge>) -> Result<Option<String>> {
        let (realm, service, scope) = match challenge {
            Some(Challenge::Basic) => return Ok(self.credentials.as_ref().map(Credentials::basic)),
            Some(Challenge::Bearer { realm, service, scope }) => (realm, service, scope),
            None => return Ok(None),
        };
        let ours = (!self.endpoint.repository.is_empty())
            .then(|| format!("repository:{}:pull", self.endpoint.repository));
        let scope = scope.or(ours);
        let mut patience = self.patience();
        let response = loop {
            let answer = self.ask_for_token(&realm, service.as_deref(), scope.as_deref());
            match answer {
                Ok(response) if is_passing(response.status()) => {
                    if !patience.wait(asked_for(response.headers())) {
                        return Err(refused(action, response));
                    }
                }
                Ok(response) => break response,
                Err(e) if self.may_recover(&e) && patience.wait(None) => {}
                Err(e) => return Err(unreachable(action, e)),
            }
        };
        if !response.status().is_success() {
            return Err(refused(action, response));
        }
        let thing = format!("the token of {}", self.endpoint.host);
        let json = read(response, MAX_ANSWER)
            .map_err(|source| ImageError::Unreachable { action: action.into(), source: Box::new(source) })?
            .ok_or_else(|| ImageError::too_large(&thing, MAX_ANSWER))?;
        let token: Token = serde_json::from_slice(&json).map_err(|e| ImageError::corrupt(&thing, e))?;
        let token = token.token.or(token.access_token);
        let token = token.ok_or_else(|| ImageError::corrupt(&thing, "it is empty"))?;
        Ok(Some(format!("Bearer {token}")))
    }

    /// Asks the token server: by OAuth2 where an identity token is all we have (distribution's token
    /// specification), else by name and password, or as nobody.
    fn ask_for_token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
    ) -> Result<Response<Body>, ureq::Error> {
        let service_and_scope = [("service", service), ("scope", scope)]
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        if let Some(token) = self.credentials.as_ref().and_then(Credentials::identity_token) {
            let form = [("grant_type", "refresh_token"), ("client_id", "a3s-box"), ("refresh_token", token)];
            return self.agent.post(realm).send_form(form.into_iter().chain(service_and_scope));
        }
        let mut request = self.agent.get(realm);
        for (key, value) in service_and_scope {
            request = request.query(key, value);
        }
        if let Some(credentials) = &self.credentials {
            request = request.header("authorization", credentials.basic());
        }
        request.call()
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

fn unreachable(action: &str, error: ureq::Error) -> ImageError {
    ImageError::Unreachable { action: action.to_owned(), source: Box::new(error) }
}

/// The error that a refusal is, with what the registry says about it.
pub(super) fn refused(action: &str, response: Response<Body>) -> ImageError {
    let status = response.status();
    let denied = status == 401 || status == 403;
    let pause = asked_for(response.headers()).filter(|_| is_passing(status));
    let said = read(response, MAX_ANSWER).ok().flatten().unwrap_or_default();
    let message =
        serde_json::from_slice::<Problems>(&said).ok().and_then(|said| said.errors.into_iter().next());
    let message = message.map(|problem| format!(" ({})", problem.message.escape_debug())).unwrap_or_default();
    let pause = pause.map(|pause| format!(", try again in {} s", pause.as_secs())).unwrap_or_default();
    ImageError::Refused { action: action.to_owned(), answer: format!("{status}{message}{pause}"), denied }
}

/// What registries say of a failure (OCI distribution spec, error codes).
#[derive(Deserialize)]
struct Problems {
    errors: Vec<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    message: String,
}

/// A whole answer, or none if it is longer than `limit` bytes.
fn read(response: Response<Body>, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    Wire::new(response.into_body().into_reader()).take(limit + 1).read_to_end(&mut content)?;
    Ok((content.len() as u64 <= limit).then_some(content))
}
