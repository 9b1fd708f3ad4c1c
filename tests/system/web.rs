//! nginx on the controllers and curl as the client, over TLS with a certificate that names the VIP.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, ensure};
use lb_tests::{
    Agent, AgentOptions, Families, Family, Lab, Program, certificate,
    requirements::{self, Need},
};

use crate::setting::API;

const NEEDS: &[Need] =
    &[Need::Root, Need::Bpf, Need::Program("ip"), Need::Program("nginx"), Need::Program("curl")];

/// Connections of each family, each with one request.
const CONNECTIONS: usize = 60;
/// The file that goes down and up, in bytes: some thousand segments, and no multiple of one.
const FILE: usize = 20_000_003;

/// nginx on a controller: says who it is, serves `www` and takes files by PUT.
fn nginx(lab: &Lab, node: &str) -> Result<Program> {
    let home = lab.directory();
    let (certificate, key) = (home.join("vip.pem"), home.join("vip.key"));
    fs::create_dir_all(home.join(node))?;
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {}/{node}/{kind};\n", home.display()))
        .concat();
    let text = format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid {home}/{node}.pid;\nerror_log stderr;\n\
         events {{ worker_connections 512; }}\n\
         http {{\n  access_log off;\n  client_max_body_size 64m;\n{temporary}\
         \x20 server {{\n    listen 6443 ssl http2;\n    listen [::]:6443 ssl http2;\n\
         \x20   ssl_certificate {};\n    ssl_certificate_key {};\n    root {home}/www;\n\
         \x20   location = /readyz {{ return 200 \"ok\\n\"; }}\n\
         \x20   location = /whoami {{ return 200 \"{node}\\n\"; }}\n\
         \x20   location /up/ {{ root {home}/{node}; dav_methods PUT; create_full_put_path on; }}\n  }}\n}}\n",
        certificate.display(),
        key.display(),
        home = home.display(),
    );
    let file = home.join(format!("nginx-{node}.conf"));
    fs::write(&file, text)?;
    let mut program = Program::start(lab, node, "nginx", ["-c".as_ref(), file.as_os_str()])?;
    program.wait_until_it_listens(lab, node, API)?;
    Ok(program)
}

/// curl that believes only the lab's certificate; gives what it printed.
fn curl(lab: &Lab, arguments: &[&str]) -> Result<String> {
    let mut command = lab.namespace("client")?.command("curl")?;
    command.args(["--silent", "--show-error", "--fail", "--max-time", "60", "--cacert"]);
    command.arg(lab.directory().join("vip.pem")).args(arguments);
    let output = command.output().context("cannot run curl")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "curl {} failed: {}", arguments.join(" "), error.trim());
    Ok(String::from_utf8(output.stdout)?)
}

fn is_the_same(one: &Path, other: &Path) -> Result<bool> {
    Ok(fs::read(one)? == fs::read(other)?)
}

/// Many short connections, then a download by HTTP/2 and an upload, both compared byte by byte.
fn browse(lab: &Lab, family: Family) -> Result<()> {
    let home = lab.directory();
    let url = format!("https://{}", lab.plan().service(family, API));
    let target = format!("{url}/whoami");
    // One address many times, as an IPv6 address has brackets, which a range would need too.
    let fixed = ["--http1.1", "--header", "connection: close", "--globoff"];
    let answers = curl(lab, &[&fixed[..], &[target.as_str(); CONNECTIONS]].concat())?;
    let mut shares = BTreeMap::<&str, usize>::new();
    for name in answers.lines() {
        *shares.entry(name).or_default() += 1;
    }
    assert_eq!(shares.values().sum::<usize>(), CONNECTIONS, "each connection is answered: {shares:?}");
    assert_eq!(shares.len(), 3, "every controller answers some: {shares:?}");

    let (file, copy) = (home.join("www/file"), home.join("copy"));
    let download = format!("{url}/file");
    let copy_name = copy.display().to_string();
    let print = ["--globoff", "--write-out", "%{http_version} %{size_download}", "--output"];
    let said = curl(lab, &[&print[..], &[&copy_name, &download]].concat())?;
    assert_eq!(said, format!("2 {FILE}"), "the whole file by HTTP/2");
    assert!(is_the_same(&file, &copy)?, "every byte of the download is as it was");

    let upload = format!("{url}/up/{family:?}");
    curl(lab, &["--globoff", "--upload-file", &file.display().to_string(), &upload])?;
    let arrived = lab.controllers().into_iter().map(|node| home.join(node).join(format!("up/{family:?}")));
    let arrived: Vec<_> = arrived.filter(|path| path.exists()).collect();
    assert_eq!(arrived.len(), 1, "one controller got the upload: {arrived:?}");
    assert!(is_the_same(&file, &arrived[0])?, "every byte of the upload is as it was");
    println!("nginx and curl by {family:?}: {shares:?}; {FILE} bytes down and up, all as they were");
    Ok(())
}

#[test]
fn curl_gets_from_nginx_through_the_balancer() -> Result<()> {
    if !requirements::met("curl_gets_from_nginx_through_the_balancer", NEEDS) {
        return Ok(());
    }
    let lab = Lab::builder().build()?;
    certificate(&lab)?;
    fs::create_dir(lab.directory().join("www"))?;
    // A period that no segment size shares: bytes that are lost, doubled or moved show.
    let bytes: Vec<u8> = (0..FILE).map(|position| (position % 251) as u8).collect();
    fs::write(lab.directory().join("www/file"), bytes)?;
    let controllers = lab.controllers();
    let _servers = controllers.iter().map(|node| nginx(&lab, node)).collect::<Result<Vec<_>>>()?;
    let agent = Agent::start(&lab, AgentOptions { families: Families::Both, ..AgentOptions::default() })?;
    agent.wait_until_all("up")?;
    browse(&lab, Family::V4)?;
    browse(&lab, Family::V6)
}
