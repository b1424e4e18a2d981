//! `hook`: posts an event to the address that a hook names. Shims and commands run it; nobody else does.

use super::Engine;
use crate::settings::Settings;
use a3s_box_core::{BoxError, ErrorKind, Result};
use ureq::Agent;

/// Events are short.
const MAX_EVENT: usize = 1 << 20;

impl Engine {
    /// Posts `event`, which is JSON, to the URL of the hook at place `at` of `config.toml`.
    ///
    /// # Errors
    /// `NotFound` where that hook has no URL; `Unavailable` where nobody takes the event.
    pub fn hook(&self, at: usize, event: &[u8]) -> Result<()> {
        let settings = Settings::read(&self.home)?;
        let (url, timeout) = settings
            .hook_url(at)
            .ok_or_else(|| BoxError::new(ErrorKind::NotFound, format!("hook {} has no url", at + 1)))?;
        if event.len() > MAX_EVENT {
            return Err(BoxError::new(ErrorKind::InvalidInput, "this is no event"));
        }
        let config = Agent::config_builder().timeout_global(Some(timeout)).max_redirects(0).build();
        // An address may hold a secret, so the error does not repeat it.
        let unheard = || BoxError::new(ErrorKind::Unavailable, "nobody took the event");
        let answer = Agent::new_with_config(config)
            .post(url)
            .header("Content-Type", "application/json")
            .send(event)
            .map_err(|e| unheard().caused_by(e.to_string()))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(unheard().caused_by(format!("the answer is {status}"))) }
    }
}
