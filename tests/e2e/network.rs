//! The network of a box: what it reaches, what it does not, how it is reached, and what is known of it afterwards.

use crate::harness::{Home, Internet, OTHER, PATIENCE, SERVER, SERVER6, TIMES, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// What nothing of ours takes as long as: a connection that hangs is given up later than that.
const AT_ONCE: Duration = Duration::from_secs(20);

/// A server on this host's loopback that greets whoever connects. Its port.
fn greeter() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            drop(stream.and_then(|mut stream| stream.write_all(b"greetings\n")));
        }
    });
    port
}

/// Where a published port of a box is.
fn port(home: &Home, name: &str, guest: &str) -> SocketAddr {
    home.a3s(&["port", name, guest]).run().ok().parse().unwrap()
}

/// What a server at `at` says, once it says something.
fn heard(at: SocketAddr) -> String {
    eventually("an answer", || {
        let mut stream = TcpStream::connect(at).ok()?;
        stream.set_read_timeout(Some(*PATIENCE)).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        (!text.is_empty()).then_some(text)
    })
}

/// The records of what a box did on the network.
fn log(home: &Home, name: &str) -> Vec<Value> {
    let lines = home.a3s(&["net", "log", name]).run().ok();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits for a record with these values.
#[track_caller]
fn await_record(home: &Home, name: &str, values: &[(&str, &str)]) -> Value {
    eventually(&format!("a record with {values:?}"), || {
        log(home, name).into_iter().find(|record| {
            values.iter().all(|(key, value)| match &record[*key] {
                Value::String(text) => text == value,
                other => &other.to_string() == value,
            })
        })
    })
}

#[test]
fn a_box_without_network_has_the_loopback_interface_alone() {
    let home = Home::new();
    let script = "ls /sys/class/net; cat /etc/resolv.conf; wget -qO- http://10.163.80.1; \
                  (echo looped | nc -l -p 80 &) ; until nc 127.0.0.1 80 2>/dev/null; do :; done";
    let out = home.a3s(&["run", "--rm", "--network", "none", "busybox", "sh", "-c", script]).run();
    assert_eq!(out.ok(), "lo\nlooped");
    assert!(out.stderr.contains("/etc/resolv.conf") && out.stderr.contains("unreachable"), "{}", out.stderr);
    home.a3s(&["run", "--network", "none", "-p", "80:80", "busybox", "true"]).run().refused(&["no ports"]);
    home.a3s(&["run", "--network", "host", "busybox", "true"]).run().refused(&["host's network", "-p"]);
    home.a3s(&["run", "--network", "nowhere", "busybox", "true"])
        .run()
        .refused(&["no such network: nowhere", "network create nowhere"]);
}

#[test]
fn a_box_has_addresses_a_gateway_and_a_resolver() {
    let home = Home::new();
    let script = "ip -o addr show dev eth0 | awk '{print $4}'; ip route; ip -6 route show default; \
                  cat /sys/class/net/eth0/mtu /etc/resolv.conf; \
                  ping -c1 -W5 10.163.80.1 >/dev/null && ping6 -c1 -W5 fda3:50::1 >/dev/null && echo pinged";
    assert_eq!(
        home.a3s(&["run", "--rm", "busybox", "sh", "-c", script]).run().ok(),
        "10.163.80.2/24\nfda3:50::2/64\ndefault via 10.163.80.1 dev eth0 \n\
         10.163.80.0/24 dev eth0 scope link  src 10.163.80.2 \n\
         default via fda3:50::1 dev eth0  metric 1024 \n65520\nnameserver 10.163.80.1\npinged"
    );
}

#[test]
fn the_host_is_reached_by_its_name_and_only_where_that_is_allowed() {
    let home = Home::new();
    let (open, shut) = (greeter(), greeter());
    let allowed = format!("host.a3s.internal:{open}");
    home.start("b", &["--allow-host", &allowed], "sleep 100000");
    assert_eq!(home.exec("b", &format!("nc host.a3s.internal {open} </dev/null")), "greetings");
    // Nothing hangs: what is denied is refused, by name, by the gateway's address, by loopback's IPv6 form.
    let begin = Instant::now();
    for to in ["host.a3s.internal", "10.163.80.1", "fda3:50::1", "::ffff:127.0.0.1", "169.254.169.254"] {
        let out = home.a3s(&["exec", "b", "nc", to, &shut.to_string()]).run();
        assert_eq!((out.code, out.text().as_str()), (1, ""), "{to}");
        let refused = ["refused", "unreachable"].iter().any(|word| out.stderr.contains(word));
        assert!(refused, "{to}: {}", out.stderr);
    }
    assert!(begin.elapsed() < AT_ONCE * *TIMES, "{:?}", begin.elapsed());
    let record =
        await_record(&home, "b", &[("subject", "tcp"), ("port", &shut.to_string()), ("verdict", "deny")]);
    assert_eq!(record["rule"], "built-in: host");
    let record = await_record(&home, "b", &[("subject", "tcp"), ("port", &open.to_string())]);
    assert_eq!(
        (&record["verdict"], &record["rule"]),
        (&"allow".into(), &format!("allow host {allowed}").into())
    );
    assert_eq!(record["received"], 10);
    assert_eq!(record["box"], home.inspect("b")["id"]);
    // The same is said beforehand.
    let explain = |host: &str| home.a3s(&["net", "explain", "b", host]).run();
    let (yes, no) = (explain(&allowed), explain(&format!("host.a3s.internal:{shut}")));
    assert!(yes.ok().starts_with(&format!("allowed: host.a3s.internal port {open}/tcp")), "{}", yes.text());
    assert_eq!(no.code, 1);
    assert!(no.text().contains("denied") && no.text().contains("built-in: host"), "{}", no.text());
}

#[test]
fn a_box_reaches_an_internet_through_names_and_addresses() {
    let home = Home::new();
    let mut net = Internet::new();
    let www = home.path().join("www");
    std::fs::create_dir(&www).unwrap();
    std::fs::write(www.join("index.html"), "a page\n").unwrap();
    std::fs::write(www.join("big"), vec![b'x'; 20 << 20]).unwrap();
    let folder = www.to_str().unwrap();
    net.serve(
        &format!("{SERVER}:80"),
        "busybox",
        &["httpd", "-f", "-p", &format!("{SERVER}:80"), "-h", folder],
    );
    let six = format!("[{SERVER6}]:80");
    net.serve(&six, "busybox", &["httpd", "-f", "-p", &six, "-h", folder]);
    let mut dns: Vec<String> = [
        "--no-daemon",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
        "--pid-file",
        "--bind-interfaces",
    ]
    .map(str::to_owned)
    .into();
    dns.push(format!("--listen-address={SERVER}"));
    for (name, address) in [("www", SERVER), ("six", SERVER6), ("rebound", "10.0.0.1")] {
        dns.push(format!("--host-record={name}.example,{address}"));
    }
    let dns: Vec<&str> = dns.iter().map(String::as_str).collect();
    net.serve(&format!("{SERVER}:53"), "dnsmasq", &dns);
    std::fs::write(home.path().join("config.toml"), format!("[net]\nresolvers = ['{SERVER}']\n")).unwrap();

    let run = |options: &[&str], script: &str| {
        let mut args = vec!["run", "--rm"];
        args.extend(options);
        args.extend(["busybox", "sh", "-c", script]);
        net.run(home.a3s(&args)).run()
    };
    let script = format!(
        "wget -qO- http://www.example/; wget -qO- http://six.example/; wget -qO- http://{SERVER}/; \
         wget -qO- http://[{SERVER6}]/; wget -qO- http://www.example/big | md5sum; \
         nslookup www.example | grep -c {SERVER}; \
         nslookup rebound.example >/dev/null || echo no rebinding; \
         nslookup www.example {SERVER} >/dev/null || echo no other resolver"
    );
    let out = run(&[], &script).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..4], ["a page"; 4]);
    assert_eq!(lines[5..], ["1", "no rebinding", "no other resolver"]);
    let sum =
        std::process::Command::new("md5sum").stdin(std::fs::File::open(www.join("big")).unwrap()).output();
    assert_eq!(lines[4], String::from_utf8(sum.unwrap().stdout).unwrap().trim());

    // A list of names is a list of all there is; an address typed by hand gets past it no more than a lie does.
    let learned = home.path().join("learned");
    let policy = ["--allow-host", "www.example:80", "--net-learn", learned.to_str().unwrap()];
    let script = format!(
        "wget -qO- http://www.example/; wget -qO- http://{SERVER}/ || echo no address; \
         wget -qO- --header 'Host: evil.example' http://www.example/ || echo no lie; \
         wget -qO- http://six.example/ || echo no other name; nc -w5 {OTHER} 80 </dev/null || echo no other"
    );
    assert_eq!(run(&policy, &script).ok(), "a page\nno address\nno lie\nno other name\nno other");
    let learned_text = std::fs::read_to_string(&learned).unwrap();
    assert_eq!(learned_text, "allow host www.example:80\ndefault none\n");
    let policy = ["--net-policy", learned.to_str().unwrap()];
    assert_eq!(
        run(&policy, "wget -qO- http://www.example/; wget -qO- http://six.example/ || echo no").ok(),
        "a page\nno"
    );
    // What config.toml says holds for all boxes.
    let config = format!("[net]\nresolvers = ['{SERVER}']\nrules = ['deny net {SERVER}']\n");
    std::fs::write(home.path().join("config.toml"), config).unwrap();
    let script = format!("wget -qO- http://{SERVER}/ || echo no; wget -qO- http://six.example/");
    assert_eq!(run(&[], &script).ok(), "no\na page");
    assert_eq!(run(&["--allow-net", SERVER], &script).ok(), "a page\na page");
}

#[test]
fn published_ports_are_reached_from_the_host_and_seen_in_ps() {
    let home = Home::new();
    let server = "nc -ll -p 80 -e echo served & exec nc -ll -p 81 -e echo again";
    home.start("b", &["-p", "0:80", "-p", "127.0.0.1:0:81"], server);
    let (first, second) = (port(&home, "b", "80"), port(&home, "b", "81/tcp"));
    assert_eq!((heard(first), heard(second)), ("served\n".into(), "again\n".into()));
    assert_eq!(home.a3s(&["port", "b"]).run().ok(), format!("80/tcp -> {first}\n81/tcp -> {second}"));
    let table = home.a3s(&["ps"]).run().ok();
    assert!(table.contains(&format!("{first}->80/tcp, {second}->81/tcp")), "{table}");
    let seen = home.inspect("b")["ports"].clone();
    assert_eq!((&seen[0]["host"], &seen[0]["guest"]), (&first.to_string().into(), &80.into()));
    let out = home.a3s(&["port", "b", "82"]).run();
    out.refused(&["82/tcp", "not published"]);

    // A port that is taken is said at once, and nothing is left of the box.
    let taken = format!("{}:80", first.port());
    let out = home.a3s(&["run", "--rm", "-p", &taken, "busybox", "true"]).run();
    out.refused(&[&format!("cannot publish 127.0.0.1:{}:80/tcp", first.port()), "pick another host port"]);
    assert_eq!(home.a3s(&["ps", "-aq"]).run().ok().lines().count(), 1);

    // Once the box has stopped its ports are free, and it takes new ones when it starts again.
    home.a3s(&["stop", "-t", "0", "b"]).run().ok();
    drop(TcpListener::bind(first).unwrap());
    home.a3s(&["port", "b"]).run().refused(&["box b is stopped"]);
    assert_eq!(home.inspect("b")["ports"], serde_json::json!([]));
    home.a3s(&["start", "b"]).run().ok();
    assert_eq!(heard(port(&home, "b", "80")), "served\n");
}

#[test]
fn datagrams_come_in_and_go_out() {
    let home = Home::new();
    let host = UdpSocket::bind("127.0.0.1:0").unwrap();
    host.set_read_timeout(Some(*PATIENCE)).unwrap();
    let to = host.local_addr().unwrap().port();
    let allow = format!("host.a3s.internal:{to}/udp");
    let script = format!("tftp -g -l - -r asked host.a3s.internal {to}; sleep 100000");
    home.start("b", &["--allow-host", &allow], &script);
    let mut query = [0; 512];
    let (length, from) = host.recv_from(&mut query).unwrap();
    assert!(query[..length].starts_with(b"\0\x01asked\0"), "{:?}", &query[..length]);
    // TFTP (RFC 1350): the first block, which is the last since it is short; and its acknowledgement.
    host.send_to(b"\0\x03\0\x01a file\n", from).unwrap();
    let (length, _) = host.recv_from(&mut query).unwrap();
    assert_eq!(&query[..length], b"\0\x04\0\x01");
    home.await_log("b", "a file");
    home.a3s(&["stop", "-t", "0", "b"]).run().ok();
    let record = await_record(&home, "b", &[("subject", "udp"), ("port", &to.to_string())]);
    assert_eq!(record["verdict"], "allow");
}

#[test]
fn a_killed_shim_leaves_no_port_behind_and_a_true_record() {
    let home = Home::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let published = format!("{}:80", free.port());
    home.start("b", &["-p", &published], "exec nc -ll -p 80 -e echo served");
    assert_eq!(heard(free), "served\n");
    let shim = home.pid("b", "shim").unwrap();
    kill_process(Pid::from_raw(shim).unwrap(), Signal::KILL).unwrap();
    eventually("an end", || (home.state("b").as_deref() == Some("stopped")).then_some(()));
    let view = home.inspect("b");
    assert_eq!((&view["run"]["exit"]["code"], &view["ports"]), (&137.into(), &serde_json::json!([])));
    drop(TcpListener::bind(free).unwrap());
    home.a3s(&["start", "b"]).run().ok();
    assert_eq!(heard(free), "served\n");
}

#[test]
fn boxes_of_a_network_find_each_other_by_name_and_others_do_not() {
    let home = Home::new();
    assert_eq!(home.a3s(&["network", "create", "back"]).run().ok(), "back");
    home.a3s(&["network", "create", "back"]).run().refused(&["exists already"]);
    home.start("web", &["--network", "back"], "exec nc -ll -p 80 -e echo served");
    home.start("app", &["--network", "back"], "sleep 100000");
    home.start("alone", &[], "sleep 100000");
    let ask = |from: &str, name: &str| home.a3s(&["exec", from, "nc", "-w", "10", name, "80"]).run();
    for name in ["web", "web.back", "10.164.1.2", "fda3:50:1::2"] {
        assert_eq!(ask("app", name).ok(), "served", "{name}");
        let other = ask("alone", name);
        assert_eq!((other.code, other.text().as_str()), (1, ""), "{name}");
    }
    let view: Value = serde_json::from_str(&home.a3s(&["network", "inspect", "back"]).run().ok()).unwrap();
    assert_eq!(view[0]["boxes"]["app"], serde_json::json!(["10.164.1.3", "fda3:50:1::3"]));
    assert!(home.a3s(&["net", "explain", "app", "web:80"]).run().ok().contains("network back"));
    assert_eq!(home.a3s(&["network", "ls", "-q"]).run().ok(), "back");

    home.a3s(&["network", "rm", "back"]).run().refused(&["is on network back"]);
    home.a3s(&["network", "connect", "back", "alone"]).run().refused(&["box alone is running"]);
    home.a3s(&["rename", "web", "www"]).run().refused(&["by its name"]);
    home.a3s(&["stop", "-t", "0", "alone", "web"]).run().ok();
    home.a3s(&["rename", "web", "www"]).run().ok();
    home.a3s(&["network", "connect", "back", "alone"]).run().ok();
    home.a3s(&["start", "www", "alone"]).run().ok();
    assert_eq!(ask("alone", "www").ok(), "served");
    home.a3s(&["rm", "-f", "www", "alone", "app"]).run().ok();
    assert_eq!(home.a3s(&["network", "rm", "back"]).run().ok(), "back");
    assert_eq!(home.a3s(&["network", "ls", "-q"]).run().ok(), "");
}
