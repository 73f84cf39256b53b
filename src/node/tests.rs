//! What travels arrives as it was, and nobody is believed who should not be.

use super::authority::{Authority, Holder, OwnKey};
use super::calls::{Calls, HypervisorCall};
use super::remote::{Channel, Peer};
use super::testing::OtherHost;
use super::trust::Fingerprint;
use super::wire::{Answer, Fault};
use super::*;
use crate::clock::Clock;
use crate::disks::{BaseImage, RootDisk, simulated::SimulatedDisks};
use crate::error::{Error, Kind, with_causes};
use crate::fabric::{NetworkWish, simulated::SimulatedFabric};
use crate::hypervisor::simulated::{Call, Fault as Trouble, Simulated};
use crate::hypervisor::{About, DiskFormat, Epoch, MachineSpec, Power};
use crate::ids::{HostId, NetworkId, ServerId};
use bytes::Bytes;
use futures::StreamExt;
use std::path::PathBuf;

struct Simulation {
    hypervisor: Arc<Simulated>,
    disks: Arc<SimulatedDisks>,
    fabric: Arc<SimulatedFabric>,
}

impl Simulation {
    fn new() -> Self {
        Self {
            hypervisor: Simulated::new(4, 4096),
            disks: SimulatedDisks::new(),
            fabric: Arc::new(SimulatedFabric::new()),
        }
    }

    fn parts(&self) -> Parts {
        Parts { hypervisor: self.hypervisor.clone(), disks: self.disks.clone(), fabric: self.fabric.clone() }
    }
}

fn spec(epoch: u64) -> MachineSpec {
    MachineSpec {
        id: ServerId::random(),
        epoch: Epoch(epoch),
        name: "instance-1".to_owned(),
        vcpus: 1,
        memory_mib: 64,
        disks: Vec::new(),
        interfaces: Vec::new(),
        console_log: PathBuf::from("/console.log"),
        about: About::default(),
    }
}

async fn other_host() -> (Simulation, OtherHost, Parts) {
    let simulation = Simulation::new();
    let host = OtherHost::carrying(simulation.parts()).await.unwrap();
    let parts = host.parts().unwrap();
    (simulation, host, parts)
}

#[test]
fn every_failure_keeps_its_kind_its_text_and_its_causes() {
    let text = || "said so".to_owned();
    let all = [
        Error::BadRequest(text()),
        Error::Unauthorized(text()),
        Error::Forbidden(text()),
        Error::not_found(Kind::Server, "x"),
        Error::Conflict(text()),
        Error::OverQuota(text()),
        Error::TooLarge(text()),
        Error::UnsupportedMediaType(text()),
        Error::RangeNotSatisfiable(text()),
        Error::MethodNotAllowed(text()),
        Error::NotAcceptable(text()),
        Error::Gone(text()),
        Error::NotImplemented(text()),
        Error::TooManyRequests(text()),
        Error::unavailable("libvirt", "no socket"),
        Error::internal("making a machine's disk", "disk full"),
    ];
    for error in all {
        let (before, kind) = (with_causes(&error), std::mem::discriminant(&error));
        let sent = serde_json::to_vec(&Answer::<()>::Err(Fault::of(error))).unwrap();
        let arrived = serde_json::from_slice::<Answer<()>>(&sent).unwrap().unwrap_err().arrived();
        assert_eq!((with_causes(&arrived), std::mem::discriminant(&arrived)), (before, kind));
    }
}

#[test]
fn made_up_contexts_are_replaced_once_there_are_too_many() {
    let long = Fault::Internal { context: "x".repeat(1000), why: String::new() }.arrived();
    assert_eq!(long.to_string(), "a host could not do it");
    for number in 0..2000 {
        Fault::Unavailable { what: format!("made up {number}"), why: String::new() }.arrived();
    }
    let late = Fault::Unavailable { what: "made up at last".to_owned(), why: String::new() }.arrived();
    assert_eq!(late.to_string(), "the host is not available");
}

#[tokio::test]
async fn a_machine_a_disk_and_a_network_are_made_there_as_wished() {
    let (simulation, _host, there) = other_host().await;
    let spec = spec(3);
    there.hypervisor.start(&spec).await.unwrap();
    assert_eq!(simulation.hypervisor.spec(spec.id), Some(spec.clone()));
    assert_eq!(there.hypervisor.find(spec.id).await.unwrap().unwrap().power, Power::Running);
    assert_eq!(there.hypervisor.find(ServerId::random()).await.unwrap(), None);
    let old = there.hypervisor.pause(spec.id, Epoch(2)).await.unwrap_err();
    assert!(matches!(old, Error::Conflict(_)), "an older order is refused there as here: {old:?}");

    let network = NetworkWish {
        id: NetworkId::random(),
        epoch: Epoch(1),
        mtu: 1500,
        subnets: Vec::new(),
        ports: Vec::new(),
        routed_to_host: false,
        nat: true,
        tunnel: None,
        physical_network: None,
    };
    assert_eq!(there.fabric.ensure(&network).await.unwrap(), crate::fabric::bridge_name(network.id));
    assert_eq!(simulation.fabric.wish(network.id), Some(network));

    let bytes: &'static [u8] = &[7; 300_000];
    let sha512 = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, bytes));
    let base = BaseImage { sha512, size: 300_000, format: DiskFormat::Raw };
    let pieces = || futures::stream::iter(bytes.chunks(1000).map(|piece| Ok(Bytes::from_static(piece)))).boxed();
    let cut = pieces().take(10).chain(futures::stream::iter([Err(Error::unavailable("the store", "gone"))]));
    let why = there.disks.fetch_base(&base, cut.boxed()).await.unwrap_err();
    assert_eq!(with_causes(&why), "the store is not available: gone", "who sends knows why it broke off");
    assert!(!there.disks.has_base(&base).await.unwrap());
    there.disks.fetch_base(&base, pieces()).await.unwrap();
    assert!(there.disks.has_base(&base).await.unwrap());
    let part = crate::disks::Part::Root { layer: 0 };
    let root = RootDisk { server: spec.id, epoch: Epoch(1), part, base, virtual_size: 1 << 20 };
    there.disks.make_root(&root).await.unwrap();
    assert_eq!(simulation.disks.root(spec.id), Some(root));
    let missing = there.disks.open_copy(ServerId::random()).await.err().unwrap();
    assert!(!missing.is_transient(), "{missing:?}");
}

#[tokio::test]
async fn what_happens_there_is_signalled_here() {
    let (simulation, _host, there) = other_host().await;
    let mut events = there.hypervisor.events().unwrap();
    // The first word from the host, whatever has happened before it.
    events.changed().await.unwrap();
    let spec = spec(1);
    simulation.hypervisor.start(&spec).await.unwrap();
    events.changed().await.unwrap();
    simulation.hypervisor.set_power(spec.id, Power::Shutdown);
    events.changed().await.unwrap();
}

#[tokio::test]
async fn a_host_whose_program_is_gone_is_away_and_is_asked_again_when_it_is_back() {
    let (simulation, mut host, there) = other_host().await;
    let spec = spec(1);
    there.hypervisor.start(&spec).await.unwrap();
    host.end().await;
    let away = there.hypervisor.list().await.unwrap_err();
    assert!(away.is_transient(), "{away:?}");
    assert!(there.disks.space().await.unwrap_err().is_transient());
    host.start(simulation.parts()).await.unwrap();
    assert_eq!(there.hypervisor.list().await.unwrap().len(), 1, "its machines ran on");
}

#[tokio::test]
async fn what_was_asked_goes_on_though_nobody_waits_for_it() {
    let hypervisor = Simulated::stepped(4, 4096);
    let simulation = Simulation { hypervisor: hypervisor.clone(), ..Simulation::new() };
    let host = OtherHost::carrying(simulation.parts()).await.unwrap();
    let there = host.parts().unwrap();
    let (spec, mut events) = (spec(1), hypervisor.events().unwrap());
    let asked = tokio::spawn({
        let (hypervisor, spec) = (there.hypervisor.clone(), spec.clone());
        async move { hypervisor.start(&spec).await }
    });
    while hypervisor.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    hypervisor.step();
    events.changed().await.unwrap();
    assert_eq!(hypervisor.find(spec.id).await.unwrap().unwrap().power, Power::Running);
}

#[tokio::test]
async fn an_answer_that_is_lost_there_is_a_host_that_is_away() {
    let (simulation, _host, there) = other_host().await;
    simulation.hypervisor.fail_at(Call::Start, 1, Trouble::Refused);
    simulation.hypervisor.fail_at(Call::Stop, 1, Trouble::Unavailable);
    let spec = spec(1);
    assert!(!there.hypervisor.start(&spec).await.unwrap_err().is_transient());
    assert!(there.hypervisor.stop(spec.id, Epoch(1), None).await.unwrap_err().is_transient());
}

#[tokio::test]
async fn a_call_that_a_host_does_not_know_is_told_from_one_that_is_wrong() {
    let (_simulation, host, _) = other_host().await;
    let channel = Channel::open(&host.peer, &host.controller).unwrap();
    let ask = async |path: &str, call: serde_json::Value| -> Error {
        channel.exchange::<_, ()>(path, &call, Duration::from_secs(10)).await.unwrap_err()
    };
    let newer = ask("hypervisor", serde_json::json!({"levitate": {"id": 1}})).await;
    assert!(matches!(newer, Error::NotImplemented(_)), "{newer:?}");
    let unknown = ask("weather", serde_json::json!({})).await;
    assert!(matches!(unknown, Error::NotImplemented(_)), "{unknown:?}");
    for wrong in [serde_json::json!({"find": {"id": 1}}), serde_json::json!({}), serde_json::json!([])] {
        let refused = ask("hypervisor", wrong).await;
        assert!(matches!(refused, Error::BadRequest(_)), "{refused:?}");
    }
}

#[test]
fn a_name_of_a_call_is_its_methods() {
    assert!(HypervisorCall::NAMES.contains(&"reboot_softly"));
    let call = serde_json::to_value(HypervisorCall::find { id: ServerId(uuid::Uuid::nil()) }).unwrap();
    assert_eq!(call, serde_json::json!({"find": {"id": "00000000-0000-0000-0000-000000000000"}}));
}

#[test]
fn one_version_apart_is_understood_and_two_are_not() {
    assert!(understands(PROTOCOL) && understands(PROTOCOL + 1) && understands(PROTOCOL - 1));
    assert!(!understands(PROTOCOL + 2));
}

#[tokio::test]
async fn only_a_controller_of_the_own_cloud_gives_orders() {
    let (_simulation, host, there) = other_host().await;
    there.hypervisor.list().await.unwrap();
    let now = Clock::System.now();
    let another_host = host.authority.identity(&Holder::host(HostId::random()), now).unwrap();
    let mut another_cloud = Authority::ephemeral("other", now).unwrap().identity(&Holder::controller(), now).unwrap();
    // It knows who it talks to, and still is nobody there.
    another_cloud.authority = host.controller.authority.clone();
    for nobody in [another_host, another_cloud] {
        let parts = Channel::open(&host.peer, &nobody).unwrap().parts();
        parts.hypervisor.list().await.unwrap_err();
    }
}

#[tokio::test]
async fn a_controller_talks_only_to_the_host_with_the_certificate_that_it_gave() {
    let (_simulation, host, _) = other_host().await;
    let other_certificate = Peer { certificate: Fingerprint([0; 32]), ..host.peer.clone() };
    let other_id = Peer { id: HostId::random(), ..host.peer.clone() };
    let now = Clock::System.now();
    let another_cloud = Authority::ephemeral("other", now).unwrap().identity(&Holder::controller(), now).unwrap();
    for (peer, own) in
        [(&other_certificate, &host.controller), (&other_id, &host.controller), (&host.peer, &another_cloud)]
    {
        let refused = Channel::open(peer, own).unwrap().parts().hypervisor.list().await.unwrap_err();
        assert!(refused.is_transient(), "a host that is not known again is away: {refused:?}");
    }
}

#[test]
fn an_authority_is_made_once_and_its_certificates_stay_good() {
    let (folder, now) = (tempfile::tempdir().unwrap(), Clock::System.now());
    let first = Authority::load_or_create(folder.path(), "c", now).unwrap();
    let again = Authority::load_or_create(folder.path(), "c", now.plus_seconds(9)).unwrap();
    assert_eq!(first.certificate(), again.certificate());
    let identity = again.identity(&Holder::controller(), now).unwrap();
    let verifier = trust::of_controller(&identity, [Fingerprint([0; 32])]);
    assert!(verifier.is_ok() && identity.authority == *first.certificate());
}

#[test]
fn what_is_no_key_and_what_is_no_name_is_not_certified() {
    let now = Clock::System.now();
    let authority = Authority::ephemeral("c", now).unwrap();
    let key = OwnKey::generate().unwrap().public();
    for wrong in [&b""[..], b"key", &[4; 65], &key[1..]] {
        assert!(matches!(authority.certify(&Holder::controller(), wrong, now), Err(Error::BadRequest(_))));
    }
    let holder = Holder { names: vec!["fünf".to_owned()], ..Holder::controller() };
    assert!(matches!(authority.certify(&holder, &key, now), Err(Error::BadRequest(_))));
}
