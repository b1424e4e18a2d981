//! The requests of a pull.

use super::auth::{Challenge, Credentials};
use super::{Descriptor, Digest, ImageError, ImageRef, Result};
use crate::manifest::{DOCKER_LIST, DOCKER_MANIFEST, MAX_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use serde::Deserialize;
use std::io::Read;
use std::net::IpAddr;
use std::time::Duration;
use ureq::http::Response;
use ureq::{Agent, Body};

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(30);
/// Until an answer begins, and between two pieces of it.
const SILENCE: Duration = Duration::from_secs(60);
const MAX_REDIRECTS: u32 = 5;
/// The most of an error or a token that is read, in bytes.
const MAX_ANSWER: u64 = 64 << 10;

/// A conversation with one registry about one repository.
pub(super) struct Client {
    agent: Agent,
    registry: String,
    /// Scheme, host and repository: what every request begins with.
    base: String,
    repository: String,
    credentials: Option<Credentials>,
    /// The `Authorization` header, once the registry asked for one.
    authorization: Option<String>,
}

impl Client {
    pub(super) fn new(reference: &ImageRef, credentials: Option<Credentials>) -> Self {
        let registry = reference.registry();
        let plain = is_this_machine(registry);
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(!plain)
            .max_redirects(MAX_REDIRECTS)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .user_agent(concat!("a3s-box/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity");
        if plain {
            // A proxy's own loopback is not ours.
            config = config.proxy(None);
        }
        // Docker Hub's registry does not answer under its own name.
        let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
        let scheme = if plain { "http" } else { "https" };
        Self {
            agent: config.build().new_agent(),
            registry: registry.to_owned(),
            base: format!("{scheme}://{host}/v2/{}", reference.repository()),
            repository: reference.repository().to_owned(),
            credentials,
            authorization: None,
        }
    }

    /// What `reference` means now: a descriptor, and the JSON that it describes.
    pub(super) fn manifest(&mut self, reference: &ImageRef) -> Result<(Descriptor, Vec<u8>)> {
        let name = reference
            .digest()
            .map_or_else(|| reference.tag().unwrap_or_default().to_owned(), |digest| digest.to_string());
        let action = format!("pull {reference}");
        let response = self.get(&action, &format!("manifests/{name}")).map_err(|e| match e {
            ImageError::Refused { ref answer, .. } if answer.starts_with("404") => {
                ImageError::NotFound { name: reference.to_string() }
            }
            other => other,
        })?;
        let stated = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        let media_type = stated.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned();
        let json = read(&action, response, MAX_MANIFEST)?;
        let digest = Digest::of(&json);
        if let Some(pinned) = reference.digest()
            && pinned != digest
        {
            return Err(ImageError::corrupt(format!("image {reference}"), format!("its digest is {digest}")));
        }
        let top = Descriptor::new(&media_type, digest, json.len() as u64);
        crate::manifest::NodeKind::of(&top)?;
        Ok((top, json))
    }

    /// The body of an index's manifest.
    pub(super) fn manifest_body(&mut self, node: &Descriptor) -> Result<Box<dyn Read>> {
        self.body("manifests", node)
    }

    /// The body of a blob.
    pub(super) fn blob(&mut self, blob: &Descriptor) -> Result<Box<dyn Read>> {
        self.body("blobs", blob)
    }

    fn body(&mut self, kind: &str, blob: &Descriptor) -> Result<Box<dyn Read>> {
        let action = format!("get {} from {}", blob.digest, self.registry);
        let response = self.get(&action, &format!("{kind}/{}", blob.digest))?;
        Ok(Box::new(response.into_body().into_reader()))
    }

    /// A successful answer. The registry is asked again once if it wants to know who asks.
    fn get(&mut self, action: &str, path: &str) -> Result<Response<Body>> {
        let mut response = self.request(action, path)?;
        if response.status() == 401 {
            let challenges = response.headers().get_all("www-authenticate").iter();
            let challenge = challenges.filter_map(|value| value.to_str().ok()).find_map(Challenge::parse);
            self.authorization = self.authorize(action, challenge)?;
            if self.authorization.is_some() {
                response = self.request(action, path)?;
            }
        }
        if response.status().is_success() { Ok(response) } else { Err(refused(action, response)) }
    }

    fn request(&self, action: &str, path: &str) -> Result<Response<Body>> {
        let accept = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST, "*/*;q=0.1"].join(", ");
        let mut request = self.agent.get(format!("{}/{path}", self.base)).header("accept", accept);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        request.call().map_err(|e| unreachable(action, e))
    }

    /// The header that answers `challenge`, or none where we have no answer.
    fn authorize(&self, action: &str, challenge: Option<Challenge>) -> Result<Option<String>> {
        match challenge {
            Some(Challenge::Basic) => Ok(self.credentials.as_ref().map(Credentials::basic)),
            Some(Challenge::Bearer { realm, service, scope }) => {
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.repository));
                let mut request = self.agent.get(&realm).query("scope", scope);
                if let Some(service) = service {
                    request = request.query("service", service);
                }
                if let Some(credentials) = &self.credentials {
                    request = request.header("authorization", credentials.basic());
                }
                let response = request.call().map_err(|e| unreachable(action, e))?;
                if !response.status().is_success() {
                    return Err(refused(action, response));
                }
                let json = read(action, response, MAX_ANSWER)?;
                let thing = format!("the token of {}", self.registry);
                let token: Token =
                    serde_json::from_slice(&json).map_err(|e| ImageError::corrupt(&thing, e))?;
                let token = token.token.or(token.access_token);
                let token = token.ok_or_else(|| ImageError::corrupt(&thing, "it is empty"))?;
                Ok(Some(format!("Bearer {token}")))
            }
            None => Ok(None),
        }
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// Whether a registry is one of this machine, whose traffic nobody else sees.
fn is_this_machine(registry: &str) -> bool {
    let host = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => registry.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn unreachable(action: &str, error: ureq::Error) -> ImageError {
    ImageError::Unreachable { action: action.to_owned(), source: Box::new(error) }
}

/// The error that a refusal is, with what the registry says about it.
fn refused(action: &str, response: Response<Body>) -> ImageError {
    let status = response.status();
    let denied = status == 401 || status == 403;
    let said = read(action, response, MAX_ANSWER).unwrap_or_default();
    let message =
        serde_json::from_slice::<Problems>(&said).ok().and_then(|said| said.errors.into_iter().next());
    let message = message.map(|problem| format!(" ({})", problem.message.escape_debug())).unwrap_or_default();
    ImageError::Refused { action: action.to_owned(), answer: format!("{status}{message}"), denied }
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

/// A whole answer of at most `limit` bytes.
fn read(action: &str, response: Response<Body>, limit: u64) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let body = response.into_body().into_reader();
    body.take(limit + 1)
        .read_to_end(&mut content)
        .map_err(|source| ImageError::Unreachable { action: action.to_owned(), source: Box::new(source) })?;
    if content.len() as u64 > limit {
        return Err(ImageError::too_large(format!("the registry's answer to {action}"), limit));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::is_this_machine;

    #[test]
    fn only_loopback_is_spoken_with_in_the_clear() {
        for registry in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "[::1]"]
        {
            assert!(is_this_machine(registry), "{registry}");
        }
        for registry in
            ["docker.io", "localhost.example.com", "10.0.0.1:5000", "[::2]:5000", "127.0.0.1.nip.io"]
        {
            assert!(!is_this_machine(registry), "{registry}");
        }
    }
}
