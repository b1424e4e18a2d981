//! The programs that boxes are made for, before real servers.

use crate::dns::{Resolver, resolved};
use crate::lab::{self, Lab, SERVER, serve};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server of the host's that ends with the test.
pub(crate) struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn start(command: &mut Command) -> Server {
    Server(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// An nginx that serves the test's folder over HTTP and HTTPS.
fn nginx(lab: &Lab) -> Server {
    let dir = lab.dir().display();
    lab::sh(&format!(
        "cd {dir}; mkdir -p www; head -c 67108864 /dev/urandom > www/large
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout key.pem -out cert.pem \
             -subj /CN=www.example -addext subjectAltName=DNS:www.example 2>/dev/null"
    ));
    let config = format!(
        "user root; daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/error.log; worker_rlimit_nofile 8192;
         events {{ worker_connections 4096; }}
         http {{ access_log off; client_max_body_size 0; client_body_temp_path {dir}/body; proxy_temp_path {dir}/p;
           fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; root {dir}/www; autoindex on;
           server {{ listen {SERVER}:80; listen [::]:80; listen {SERVER}:443 ssl;
             ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;
             location /put {{ client_body_in_file_only clean; proxy_pass http://127.0.0.1:8099; }} }} }}"
    );
    let file = lab.dir().join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let server = start(Command::new("nginx").arg("-e").arg(lab.dir().join("error.log")).arg("-c").arg(&file));
    lab.eventually("nginx", || std::net::TcpStream::connect((SERVER, 443)).is_ok());
    server
}

lab_test!(curl_and_wget_fetch_over_http_and_https, |lab| {
    let _resolver =
        Resolver::start(lab, &["www.example/198.51.100.1"], &["--host-record=www.example,2001:db8::1"]);
    let _nginx = nginx(lab);
    lab.boot(&resolved(lab::open()));
    let dir = lab.dir().display().to_string();
    let sum = |text: &str| text.split_whitespace().next().unwrap().to_owned();
    let expected = sum(&String::from_utf8_lossy(
        &Command::new("sha256sum").arg(format!("{dir}/www/large")).output().unwrap().stdout,
    ));
    for how in [
        "-4 http://www.example",
        "-6 http://www.example",
        &format!("--cacert {dir}/cert.pem -4 https://www.example"),
    ] {
        let got = lab.says(&format!("curl -sSf --max-time 60 {how}/large | sha256sum"));
        assert_eq!(sum(&got), expected, "{how}");
    }
    // Many at once over one HTTP/1.1 connection each.
    let all = lab.says("seq 64 | xargs -P 16 -I N curl -sS -4 --max-time 60 -o /dev/null -w '%{http_code}\\n' http://www.example/");
    assert_eq!(all.matches("200").count(), 64);
});

lab_test!(iperf3_runs_both_ways_with_many_streams, |lab| {
    let _server = start(Command::new("iperf3").args(["--server", "--port", "5201"]));
    lab.boot(&lab::open());
    lab.eventually("iperf3", || std::net::TcpStream::connect((SERVER, 5201)).is_ok());
    for how in ["", "--reverse", "--parallel 8", "--bidir", "--udp --bitrate 200M --length 8000"] {
        lab.eventually(how, || {
            let text = lab.says(&format!("iperf3 --client {SERVER} --time 1 {how} 2>&1 || true"));
            // The server takes one client at a time, is told a little late that the last one left, and
            // then closes its socket and listens on a new one.
            let between =
                ["busy", "control message", "Connection refused"].iter().any(|word| text.contains(word));
            assert!(text.contains("iperf Done") || between, "{how}: {text}");
            text.contains("iperf Done")
        });
    }
});

lab_test!(git_clones_and_apt_updates_from_a_local_server, |lab| {
    let _resolver = Resolver::start(lab, &["www.example/198.51.100.1"], &[]);
    let _nginx = nginx(lab);
    let dir = lab.dir().display().to_string();
    lab::sh(&format!(
        "cd {dir}; export HOME={dir} GIT_CONFIG_GLOBAL=/dev/null; git init -q work; cd work
         head -c 5000000 /dev/urandom > file; git add file
         git -c user.name=a -c user.email=a@b commit -qm one; cd ..
         git clone -q --bare work www/repo.git; git -C www/repo.git update-server-info
         mkdir -p www/debian; cd www/debian; gzip -c </dev/null >Packages.gz; : >Packages
         printf 'Origin: x\\nSHA256:\\n %s 0 Packages\\n' $(sha256sum Packages | cut -d' ' -f1) >Release"
    ));
    lab.boot(&resolved(lab::spec(&["allow host www.example:80"], a3s_box_core::NetDefault::None)));
    lab.says(&format!(
        "cd {dir}; HOME={dir} git clone -q http://www.example/repo.git clone && cmp clone/file work/file"
    ));
    let apt = format!(
        "mkdir -p {dir}/apt/lists/partial {dir}/apt/cache; echo 'deb [trusted=yes] http://www.example/debian ./' >{dir}/apt/list
         apt-get update -o Dir::Etc::sourcelist={dir}/apt/list -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists={dir}/apt/lists \
            -o Dir::Cache={dir}/apt/cache -o APT::Sandbox::User=root -o Debug::NoLocking=1"
    );
    let text = lab.says(&apt);
    assert!(text.contains("http://www.example/debian") && !text.contains("Err:"), "{text}");
});

lab_test!(a_websocket_stays_open, |lab| {
    let server = serve(&format!("{SERVER}:8080"), |mut stream| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        stream
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            )
            .unwrap();
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            stream.write_all(&buffer[..count]).unwrap();
        }
    });
    let _resolver = Resolver::start(lab, &["ws.example/198.51.100.1"], &[]);
    lab.boot(&resolved(lab::spec(&["allow host ws.example"], a3s_box_core::NetDefault::None)));
    lab.says("getent hosts ws.example");
    lab.inside(0, || {
        let mut stream = lab::connect(server).unwrap();
        write!(
            stream,
            "GET /chat HTTP/1.1\r\nHost: ws.example:8080\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        .unwrap();
        let mut head = [0; 77];
        stream.read_exact(&mut head).unwrap();
        assert!(head.starts_with(b"HTTP/1.1 101"));
        // A bounded form of ten minutes: frames with pauses, then binary ones that look like another request.
        for n in 0..20u8 {
            let message = [&[0x81, 4, n][..], b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"].concat();
            stream.write_all(&message).unwrap();
            let mut answer = vec![0; message.len()];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, message);
            std::thread::sleep(Duration::from_millis(100));
        }
    });
});
