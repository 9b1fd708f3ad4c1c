//! The socket with a real server, a real client, raw bytes, and an agent played by the test.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::types::{Admin, ApiError, BackendState, Detach, Done, EventFilter, Flow, FlowFilter, samples};
use super::{BindError, Client, ClientError, Command, Server};

const SOON: Duration = Duration::from_secs(10);

/// A server on a socket of its own, its commands in the hands of the test.
struct Lab {
    path: PathBuf,
    commands: mpsc::Receiver<Command>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Lab {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("run/xdplb.sock");
        let server = Server::bind(&path).await.expect("a fresh path is bound, its folder made");
        let (sender, commands) = mpsc::channel(8);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(sender, async {
            let _ = stopped.await;
        }));
        Self { path, commands, stop: Some(stop), serving, _folder: folder }
    }

    fn client(&self) -> Client {
        Client::new(&self.path)
    }

    async fn command(&mut self) -> Command {
        timeout(SOON, self.commands.recv()).await.expect("a command comes soon").expect("the server lives")
    }

    /// Sends raw bytes and returns all that comes back.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.path).await.expect("the server listens");
        // A server that has refused already may have closed; what it said is still to be read.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let read =
            timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the server answers and closes");
        drop(read);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

#[tokio::test]
async fn a_question_reaches_the_agent_and_its_answer_the_client() {
    let mut lab = Lab::start().await;
    let client = lab.client();
    let asked = tokio::spawn(async move { client.status().await });
    let Command::Status(reply) = lab.command().await else { panic!("status asks for the status") };
    reply.send(Ok(samples::status())).expect("the server waits");
    let status = asked.await.expect("no panic").expect("an answer");
    assert_eq!(status, samples::status(), "nothing is lost on the way");
}

#[tokio::test]
async fn a_refusal_keeps_its_sentence_and_its_status() {
    let mut lab = Lab::start().await;
    let client = lab.client();
    let asked = tokio::spawn(async move {
        let request = BackendState { name: "contrller-1".into(), state: Admin::Draining, runtime: true };
        client.backend_state(&request).await
    });
    let Command::BackendState(request, reply) = lab.command().await else { panic!("a state was asked for") };
    assert!(request.runtime && request.state == Admin::Draining, "the request arrives whole: {request:?}");
    reply.send(Err(ApiError::not_found("no backend contrller-1: see `xdplb backend list`"))).expect("waits");
    match asked.await.expect("no panic") {
        Err(ClientError::Refused(error)) => {
            assert_eq!(error.to_string(), "no backend contrller-1: see `xdplb backend list`", "the sentence");
            assert_eq!(error.status().as_u16(), 404, "the status");
        }
        other => panic!("a refusal must be told as one, not as {other:?}"),
    }
}

#[tokio::test]
async fn flows_come_in_chunks_with_their_filter() {
    let mut lab = Lab::start().await;
    let client = lab.client();
    let filter = FlowFilter {
        backend: Some("a name/with & odd=signs".into()),
        client: Some("2001:db8::1".parse().expect("an address")),
        snat: Some("[2001:db8::10]:20418".parse().expect("an address")),
    };
    let sent = filter.clone();
    let asked = tokio::spawn(async move { client.flows(&sent).await?.all().await });
    let Command::Flows(got, reply) = lab.command().await else { panic!("flows were asked for") };
    assert_eq!(got, filter, "the filter survives the query string");
    let (chunks, receiver) = mpsc::channel(2);
    reply.send(Ok(receiver)).expect("the server waits");
    for _ in 0..300 {
        chunks.send(Ok(vec![samples::flow(); 100])).await.expect("the client reads");
    }
    drop(chunks);
    let flows: Vec<Flow> = asked.await.expect("no panic").expect("an answer");
    assert_eq!(flows.len(), 30_000, "every flow arrives");
    assert_eq!(flows[29_999], samples::flow(), "whole");
}

#[tokio::test]
async fn a_long_answer_that_fails_half_way_says_so() {
    let mut lab = Lab::start().await;
    let client = lab.client();
    let asked = tokio::spawn(async move { client.flows(&FlowFilter::default()).await?.all().await });
    let Command::Flows(_, reply) = lab.command().await else { panic!("flows were asked for") };
    let (chunks, receiver) = mpsc::channel(2);
    reply.send(Ok(receiver)).expect("the server waits");
    chunks.send(Ok(vec![samples::flow()])).await.expect("the client reads");
    chunks.send(Err(ApiError::failed("cannot read the flow table: try again"))).await.expect("reads");
    let error = asked.await.expect("no panic").expect_err("an incomplete answer is an error");
    assert_eq!(error.to_string(), "cannot read the flow table: try again", "the agent's own sentence");
}

#[tokio::test]
async fn a_client_that_hangs_up_is_forgotten() {
    let mut lab = Lab::start().await;
    let client = lab.client();
    let waited = client.backend_idle("controller-1", Some(Duration::from_millis(200))).await;
    assert!(matches!(waited, Ok(None)), "not idle in time: {waited:?}");
    let Command::BackendIdle(_, mut reply) = lab.command().await else { panic!("a wait was asked for") };
    timeout(SOON, reply.closed()).await.expect("the agent sees that nobody waits any more");

    let following = tokio::spawn(async move { client.events(&EventFilter { follow: true }).await });
    let Command::Events(filter, reply) = lab.command().await else { panic!("events were asked for") };
    assert!(filter.follow, "follow survives the query string");
    let (events, receiver) = mpsc::channel(2);
    reply.send(Ok(receiver)).expect("the server waits");
    drop(following.await.expect("no panic").expect("the stream is open"));
    timeout(SOON, events.closed()).await.expect("the agent sees that nobody follows any more");
}

#[tokio::test]
async fn garbage_is_answered_with_a_sentence_and_the_server_lives() {
    let mut lab = Lab::start().await;
    let long_name = "x".repeat(100_000);
    let endless_head = format!("GET / HTTP/1.1\r\nx: {long_name}");
    let endless_body =
        format!("POST /v1/backends/add HTTP/1.1\r\ncontent-length: 100002\r\n\r\n\"{long_name}\"");
    let cases: &[(&[u8], u16, &str)] = &[
        (b"\x00\xff\xfe\x01 garbage \r\n\r\n", 400, "not an HTTP/1.1 request"),
        (b"status\r\n\r\n", 400, "not an HTTP/1.1 request"),
        (b"GET /v1/status HTTP/1.1\r\n\x00: y\r\n\r\n", 400, "not an HTTP/1.1 request"),
        (endless_head.as_bytes(), 431, "longer than 16384 bytes"),
        (endless_body.as_bytes(), 413, "longer than 65536 bytes"),
        (b"GET /nothing HTTP/1.1\r\n\r\n", 404, "there is no /nothing"),
        (b"DELETE /v1/reload HTTP/1.1\r\n\r\n", 405, "send POST"),
        (b"POST /v1/backends/add HTTP/1.1\r\ncontent-length: 5\r\n\r\n{\"na}", 400, "does not fit"),
        (b"POST /v1/flows/reset HTTP/1.1\r\ncontent-length: 13\r\n\r\n{\"bakend\":\"\"}", 400, "bakend"),
        (b"GET /v1/flows?client=nobody HTTP/1.1\r\n\r\n", 400, "invalid IP address"),
    ];
    for (bytes, status, words) in cases {
        let answer = lab.raw(bytes).await;
        let sent = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{sent:?} must give {status}: {answer}");
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        let error: ApiError =
            serde_json::from_str(body).unwrap_or_else(|_| panic!("{sent:?}: not JSON: {answer}"));
        assert!(error.error.contains(words), "{sent:?} must be told {words:?}: {}", error.error);
    }
    let client = lab.client();
    let asked = tokio::spawn(async move { client.reload().await });
    let Command::Reload(reply) = lab.command().await else { panic!("only the reload reaches the agent") };
    reply.send(Ok(Done::unchanged("nothing has changed"))).expect("the server waits");
    assert!(!asked.await.expect("no panic").expect("an answer").changed, "the server still answers");
}

#[tokio::test]
async fn the_socket_is_for_root_and_its_group_and_goes_with_the_server() {
    let mut lab = Lab::start().await;
    let mode = std::fs::metadata(&lab.path).expect("the socket is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660, "nobody else may open it");
    let client = lab.client();
    let asked = tokio::spawn(async move { client.detach(&Detach::default()).await });
    let Command::Detach(_, reply) = lab.command().await else { panic!("detach was asked for") };
    drop(lab.stop.take());
    while lab.path.exists() {
        sleep(Duration::from_millis(5)).await;
    }
    reply.send(Ok(Done::changed("detached"))).expect("the server still waits for the last answer");
    asked.await.expect("no panic").expect("the last answer is delivered while stopping");
    timeout(SOON, lab.serving).await.expect("the server ends").expect("without a panic");
    let folder = lab.path.parent().expect("a folder");
    assert_eq!(std::fs::read_dir(folder).expect("readable").count(), 0, "nothing stays behind");
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_living_one_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("xdplb.sock");
    drop(UnixListener::bind(&path).expect("a socket"));
    assert!(
        matches!(Client::new(&path).status().await, Err(ClientError::NotRunning(_))),
        "nobody answers there"
    );
    let first = Server::bind(&path).await.expect("a stale socket is replaced");
    let error = Server::bind(&path).await.expect_err("a living one is not");
    assert!(matches!(error, BindError::InUse(_)), "it is in use: {error}");
    drop(first);
    assert!(!path.exists(), "dropping the server removes its socket");

    std::fs::write(&path, "a file").expect("writable");
    let error = Server::bind(&path).await.expect_err("a file is not removed");
    assert!(matches!(error, BindError::NotASocket(_)), "it is a file: {error}");
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_told_from_one_that_breaks_off() {
    let nowhere = Client::new(Path::new("/nonexistent/xdplb.sock"));
    assert!(matches!(nowhere.status().await, Err(ClientError::NotRunning(_))), "no socket means no agent");

    let mut lab = Lab::start().await;
    let client = lab.client();
    let asked = tokio::spawn(async move { client.counters().await });
    drop(lab.command().await);
    match asked.await.expect("no panic") {
        Err(ClientError::Refused(error)) => assert_eq!(error.status().as_u16(), 503, "{error}"),
        other => panic!("a forgotten reply is a refusal, not {other:?}"),
    }
}

#[tokio::test]
async fn connections_are_bounded_and_whoever_comes_too_late_is_told() {
    let lab = Lab::start().await;
    let mut idle = Vec::new();
    for _ in 0..256 {
        idle.push(UnixStream::connect(&lab.path).await.expect("the server listens"));
    }
    let answer = lab.raw(b"GET /v1/ready HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "one too many: {answer}");
    assert!(answer.contains("close some"), "with the next step: {answer}");
    let mut slow = idle.swap_remove(0);
    let mut told = String::new();
    timeout(SOON, slow.read_to_string(&mut told)).await.expect("idle ones do not stay").expect("readable");
    assert!(told.starts_with("HTTP/1.1 408"), "and are told why: {told}");
}
