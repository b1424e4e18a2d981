//! Who we are: a registry that asks, Docker's `config.json`, and credential helpers.

use crate::again;
use crate::load::{layout, skopeo};
use crate::tools::{Home, Peer, Registry, arg};
use a3s_box_core::{BoxError, ErrorKind};
use a3s_box_image::{Credentials, Keychain, Registries, log_in};
use std::fs;
use std::os::unix::fs::PermissionsExt;

const PASSWORD: &str = "pass:word";
/// The password as `htpasswd -B` keeps it.
const HASH: &str = "$2b$05$SD4yCzk2T/to9nt3blhph.IQ9pejkTx81nbuPw0g0GugKluEqZqcW";

/// A registry that only `user` may use, with the image `app:1`.
fn private(home: &Home) -> Registry {
    fs::write(home.path("htpasswd"), format!("user:{HASH}\n")).unwrap();
    let auth = format!("auth: {{htpasswd: {{realm: r, path: '{}'}}}}", arg(&home.path("htpasswd")));
    let registry = Registry::start_with(home, "", &auth);
    let to = format!("docker://{}/app:1", registry.host);
    let options = ["--dest-tls-verify=false", "--dest-creds", "user:pass:word"];
    skopeo(&format!("oci:{}:x", arg(&layout(home, "layout"))), &to, &options);
    registry
}

fn user(password: &str) -> Credentials {
    Credentials { username: "user".into(), password: password.into() }
}

#[test]
fn a_private_registry_is_logged_in_to_and_pulled_from() {
    let home = Home::new();
    let registry = private(&home);
    let registries = Registries::default();
    let wrong = BoxError::from(log_in(&registries, &registry.host, &user("wrong")).unwrap_err());
    assert_eq!(wrong.kind(), ErrorKind::Permission, "{wrong}");
    log_in(&registries, &registry.host, &user(PASSWORD)).unwrap();
    let keychain = Keychain::at(home.path("docker"));
    let name = format!("{}/app:1", registry.host);
    let pull = || home.pull(&name, &keychain, &registries, &|_| {});
    assert_eq!(BoxError::from(pull().unwrap_err()).kind(), ErrorKind::Permission);
    keychain.store(&registry.host, &user(PASSWORD)).unwrap();
    pull().unwrap();
    assert!(keychain.erase(&registry.host).unwrap());
    assert_eq!(BoxError::from(pull().unwrap_err()).kind(), ErrorKind::Permission);
}

#[test]
fn a_credential_helper_is_asked_and_its_silence_is_no_failure() {
    let home = Home::new();
    let registry = private(&home);
    let name = format!("{}/app:1", registry.host);
    let helper = home.path("docker-credential-test");
    let script = format!(
        "#!/bin/sh\nread server\n[ \"$1\" = get ] || exit 9\n[ \"$server\" = {} ] || \
         {{ echo credentials not found in native keychain; exit 1; }}\n\
         echo '{{\"ServerURL\":\"x\",\"Username\":\"user\",\"Secret\":\"{PASSWORD}\"}}'\n",
        registry.host
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(home.path("docker")).unwrap();
    let config = home.path("docker/config.json");
    let pull = |settings: &str, name: &str| {
        fs::write(&config, settings).unwrap();
        let path = format!("{}:{}", arg(home.dir.path()), std::env::var("PATH").unwrap());
        let mut process = again::pull(&home, name, "");
        process.env("DOCKER_CONFIG", home.path("docker")).env("PATH", path);
        again::said(&process.output().unwrap())
    };
    pull(r#"{"credsStore":"test"}"#, &name).unwrap();
    let anonymous = Peer::start(|_| crate::hostile::answer("404 Not Found", "", b""));
    let missing = pull(r#"{"credsStore":"test"}"#, &format!("{}/x", anonymous.host)).unwrap_err();
    assert!(missing.contains("not found"), "{missing}");
    let own = format!(r#"{{"credHelpers":{{"{}":"nowhere"}}}}"#, registry.host);
    let nowhere = pull(&own, &name).unwrap_err();
    assert!(nowhere.contains("docker-credential-nowhere"), "{nowhere}");
}

#[test]
fn an_identity_token_is_exchanged_for_a_registrys_token() {
    let peer = Peer::start_with(|host, request| {
        let answer = crate::hostile::answer;
        if request.starts_with("POST /token ") {
            return answer("200 OK", "", br#"{"access_token":"short-lived"}"#);
        }
        if request.contains("authorization: Bearer short-lived\r\n") {
            return answer("404 Not Found", "", b"");
        }
        let challenge = format!("www-authenticate: Bearer realm=\"http://{host}/token\",service=\"s\"\r\n");
        answer("401 Unauthorized", &challenge, b"")
    });
    let token = Credentials { username: "<token>".into(), password: "identity".into() };
    let keychain = Keychain::default().with(&peer.host, token);
    let home = Home::new();
    let error =
        home.pull(&format!("{}/x", peer.host), &keychain, &Registries::default(), &|_| {}).unwrap_err();
    assert!(error.to_string().contains("not found"), "{error}");
    assert!(peer.requests().iter().all(|request| !request.contains("authorization: Basic")));
}
