//! What tests rely on beyond the contract: the simulator obeys its test.

use super::*;
use crate::hypervisor::About;
use futures::FutureExt;

fn spec() -> MachineSpec {
    MachineSpec {
        id: ServerId::random(),
        epoch: Epoch(1),
        name: "instance-1".to_owned(),
        vcpus: 1,
        memory_mib: 64,
        disks: Vec::new(),
        interfaces: Vec::new(),
        console_log: "/dev/null".into(),
        about: About::default(),
    }
}

#[tokio::test]
async fn an_order_waits_for_its_step_and_questions_do_not() {
    let host = Simulated::stepped(1, 64);
    let spec = spec();
    let mut order = host.start(&spec);
    assert!((&mut order).now_or_never().is_none());
    assert_eq!(host.find(spec.id).await.unwrap(), None);
    host.step();
    order.await.unwrap();
    assert_eq!(host.find(spec.id).await.unwrap().unwrap().power, Power::Running);
}

#[tokio::test]
async fn calls_fail_as_told_and_only_as_often() {
    let host = Simulated::new(1, 64);
    let spec = spec();
    host.fail_at(Call::Start, 1, Fault::Unavailable);
    host.fail_at(Call::Start, 1, Fault::Refused);
    assert!(host.start(&spec).await.unwrap_err().is_transient());
    assert!(!host.start(&spec).await.unwrap_err().is_transient());
    assert_eq!(host.find(spec.id).await.unwrap(), None);
    host.start(&spec).await.unwrap();
    assert_eq!(host.calls().iter().filter(|(call, _)| *call == Call::Start).count(), 3);
}

#[tokio::test]
async fn a_lost_answer_is_not_a_lost_order() {
    let host = Simulated::new(1, 64);
    let spec = spec();
    host.fail_at(Call::Start, 1, Fault::AnswerLost);
    assert!(host.start(&spec).await.unwrap_err().is_transient());
    assert_eq!(host.find(spec.id).await.unwrap().unwrap().power, Power::Running);
}

#[tokio::test]
async fn a_guest_that_ignores_the_power_button_is_left_by_a_reboot_and_ended_by_a_stop() {
    let host = Simulated::new(1, 64);
    let spec = spec();
    host.start(&spec).await.unwrap();
    host.ignore_shutdown(spec.id);
    let grace = Duration::from_millis(5);
    assert!(!host.reboot_softly(&spec, grace).await.unwrap());
    host.stop(spec.id, Epoch(1), Some(grace)).await.unwrap();
    assert_eq!(host.find(spec.id).await.unwrap().unwrap().power, Power::Shutdown);
}

#[tokio::test]
async fn while_away_nothing_is_answered_and_machines_go_on() {
    let host = Simulated::new(1, 64);
    let spec = spec();
    host.start(&spec).await.unwrap();
    host.set_away(true);
    assert!(host.list().await.unwrap_err().is_transient());
    assert!(host.remove(spec.id, Epoch(1)).await.unwrap_err().is_transient());
    host.set_away(false);
    assert_eq!(host.list().await.unwrap().len(), 1);
}
