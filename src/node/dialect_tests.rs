//! What was said in protocol 1, to the byte: hosts that speak it are understood, and understand.
//!
//! A cloud is upgraded one machine after the other, so a host and its controller may be one protocol apart, either way; two
//! apart they refuse each other and say so. What is new falls back or says that the host is too old.

use super::authority::{Authority, Holder};
use super::certificates::Purpose;
use super::listener::{self, Body};
use super::remote::{Channel, Peer, Spoken};
use super::server::whole;
use super::testing::OtherHost;
use super::trust::{self, Fingerprint, Shown};
use super::*;
use crate::clock::Clock;
use crate::disks::simulated::SimulatedDisks;
use crate::error::Error;
use crate::fabric::simulated::SimulatedFabric;
use crate::hypervisor::simulated::Simulated;
use crate::hypervisor::{About, Arrival, Epoch, MachineSpec, Offer};
use crate::ids::{HostId, ServerId};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::net::TcpListener;

/// A path, what a controller says there, and what a host answers.
const RECORDED: &[(&str, &str, &str)] = &[
    (
        "hypervisor",
        r#"{"facts":{}}"#,
        r#"{"Ok":{"uuid":"2f1c1d9e-8a55-4c0e-9a54-3a1d6c0e9b11","hostname":"other","hypervisor_type":"QEMU","hypervisor_version":10000002,"vcpus":2,"memory_mib":24028,"cpu":{"arch":"x86_64","model":"EPYC","vendor":"AMD","features":["aes"],"cells":1,"sockets":1,"cores":2,"threads":1},"accelerator":"tcg"}}"#,
    ),
    (
        "hypervisor",
        r#"{"list":{}}"#,
        r#"{"Ok":[{"id":"6d8b2f1e-0000-4000-8000-000000000001","epoch":7,"power":"running","vnc_port":5900}]}"#,
    ),
    (
        "hypervisor",
        r#"{"receive":{"there":{"id":"6d8b2f1e-0000-4000-8000-000000000001","epoch":7,"name":"instance-6d8b2f1e","vcpus":1,"memory_mib":64,"disks":[],"interfaces":[],"console_log":"/c","about":{"display_name":"","project_id":"","user_id":"","flavor_name":""}},"offer":{"hypervisor_type":"QEMU","hypervisor_version":10000002,"cpu":null}}}"#,
        r#"{"Ok":{"address":"qemu+tcp://192.0.2.7/system","hypervisor_version":10000002}}"#,
    ),
    ("hypervisor", r#"{"find":{"id":"6d8b2f1e-0000-4000-8000-000000000002"}}"#, r#"{"Ok":null}"#),
    ("disks", r#"{"space":{}}"#, r#"{"Ok":{"total":1000,"free":10}}"#),
    ("fabric", r#"{"facts":{}}"#, r#"{"Ok":{"tunnel_address":"192.0.2.7"}}"#),
];

fn spec() -> MachineSpec {
    MachineSpec {
        id: ServerId::parse("6d8b2f1e-0000-4000-8000-000000000001").unwrap(),
        epoch: Epoch(7),
        name: "instance-6d8b2f1e".to_owned(),
        vcpus: 1,
        memory_mib: 64,
        disks: Vec::new(),
        interfaces: Vec::new(),
        console_log: PathBuf::from("/c"),
        about: About::default(),
    }
}

/// Answers as a host of protocol 1 did, in the very words.
async fn older(request: Request<Incoming>) -> Response<Body> {
    assert_eq!(request.headers()["gapura-protocol"], PROTOCOL.to_string());
    let path = request.uri().path().trim_start_matches("/v1/").to_owned();
    let said = String::from_utf8(request.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let known = RECORDED.iter().find(|(at, question, _)| *at == path && *question == said);
    let unknown = format!(
        r#"{{"Err":{{"not_implemented":"This host does not know {path}: it is older or newer than its controller"}}}}"#
    );
    let mut response = match known {
        Some((_, _, answer)) => whole(StatusCode::OK, answer.as_bytes().to_vec()),
        None => whole(StatusCode::UNPROCESSABLE_ENTITY, unknown.into_bytes()),
    };
    response.headers_mut().insert("gapura-protocol", 1.into());
    response
}

/// A host that is a version older, and this controller's connection to it.
async fn older_host() -> (Arc<Channel>, watch::Sender<bool>) {
    let now = Clock::System.now();
    let authority = Authority::ephemeral("c", now).unwrap();
    let (id, controller) = (HostId::random(), authority.identity(&Holder::controller(), now).unwrap());
    let identity = authority.identity(&Holder::host(id), now).unwrap();
    let certificate = Fingerprint::of(&identity.certificate);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let tls = trust::of_host(&identity.authority, Shown::of(&identity).unwrap()).unwrap();
    tokio::spawn(listener::serve(listener, tls, stopped, |request, _: SocketAddr| older(request)));
    let peer = Peer { id, name: "other".to_owned(), address, certificate, renewed: None };
    (Channel::open(&peer, &controller).unwrap(), stop)
}

#[tokio::test]
async fn a_host_that_is_a_version_older_is_asked_and_understood() {
    let (channel, _stop) = older_host().await;
    let there = channel.parts();
    let facts = there.hypervisor.facts().await.unwrap();
    assert_eq!((facts.hostname.as_str(), facts.vcpus, facts.cpu.features), ("other", 2, vec!["aes".to_owned()]));
    assert_eq!(there.hypervisor.list().await.unwrap()[0].epoch, Epoch(7));
    let offer = Offer { hypervisor_type: "QEMU".to_owned(), hypervisor_version: 10_000_002, cpu: None };
    let arrival = there.hypervisor.receive(&spec(), &offer).await.unwrap();
    let address = "qemu+tcp://192.0.2.7/system".to_owned();
    assert_eq!(arrival, Arrival { address, hypervisor_version: 10_000_002, tls_name: None, driver_version: 0 });
    let nobody = ServerId::parse("6d8b2f1e-0000-4000-8000-000000000002").unwrap();
    assert_eq!(there.hypervisor.find(nobody).await.unwrap(), None);
    assert_eq!(there.disks.space().await.unwrap().free, 10);
    assert!(there.fabric.facts().await.unwrap().physical_networks.is_empty());
    assert_eq!(channel.spoken(), Some(Spoken { version: None, protocol: 1 }));
}

#[tokio::test]
async fn what_came_after_a_host_is_answered_with_the_advice_to_upgrade_it() {
    let (channel, _stop) = older_host().await;
    for (asked, what) in
        [(channel.hello().await.map(drop), "hello"), (channel.renew(&Default::default()).await, "certificates")]
    {
        let Err(Error::NotImplemented(text)) = asked else { panic!("{asked:?}") };
        assert_eq!(text, format!("The gapura node on other (older) is too old for {what}: upgrade it"));
    }
}

/// Says something to a host as a controller of some protocol does.
async fn say(host: &OtherHost, protocol: u32, path: &str, text: &str) -> (u16, String) {
    let role = super::authority::host_role(host.peer.id);
    let tls = trust::of_controller(&host.controller, [host.peer.certificate]).unwrap();
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).resolve(&role, host.peer.address).no_proxy();
    let url = format!("https://{role}:{}/v1/{path}", host.peer.address.port());
    let request = client.build().unwrap().post(url).header("gapura-protocol", protocol).body(text.to_owned());
    let reply = request.send().await.unwrap();
    (reply.status().as_u16(), reply.text().await.unwrap().trim().to_owned())
}

#[tokio::test]
async fn a_controller_that_is_a_version_older_is_served_and_one_further_off_is_told_so() {
    let hypervisor = Simulated::new(4, 4096);
    let parts = Parts { hypervisor, disks: SimulatedDisks::new(), fabric: Arc::new(SimulatedFabric::new()) };
    let host = OtherHost::carrying(parts).await.unwrap();
    for (path, question, _) in RECORDED.iter().filter(|(_, question, _)| !question.contains("receive")) {
        for protocol in [PROTOCOL - 1, PROTOCOL, PROTOCOL + 1] {
            let (status, answer) = say(&host, protocol, path, question).await;
            assert!(status == 200 && answer.starts_with(r#"{"Ok":"#), "{question}: {status} {answer}");
        }
    }
    let (status, answer) = say(&host, PROTOCOL + 2, "hypervisor", r#"{"facts":{}}"#).await;
    let (ours, theirs) = (PROTOCOL, PROTOCOL + 2);
    assert_eq!(
        (status, answer),
        (
            422,
            format!(
                r#"{{"Err":{{"not_acceptable":"This host's gapura speaks protocol {ours}, and its controller's {theirs}: bring them closer"}}}}"#
            )
        )
    );
}

#[test]
fn a_machine_of_a_version_before_joins_as_it_did_and_a_controller_of_one_is_understood() {
    let before = r#"{"secret":"s","protocol":1,"version":"0.1.0","name":"a","machine":"m","address":null,"port":5010,"public_key":"00","other_cloud":null}"#;
    let newcomer: super::joining::Newcomer = serde_json::from_str(before).unwrap();
    assert!(newcomer.wanted.is_empty() && newcomer.facts.is_null() && understands(newcomer.protocol));
    let before = r#"{"id":"6d8b2f1e-0000-4000-8000-000000000001","cloud":"c","address":"192.0.2.7:5010","certificate":"00","authority":"00"}"#;
    let welcome: super::joining::Welcome = serde_json::from_str(before).unwrap();
    assert!(welcome.granted.is_empty() && welcome.notes.is_empty());
    assert_eq!(serde_json::to_string(&Purpose::Libvirtd).unwrap(), r#""libvirtd""#);
}
