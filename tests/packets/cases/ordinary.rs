//! Whose SYN shows something of a backend that does not answer it: one that every host would answer.

use lb_common::{
    abi::{
        Evidence::Silent,
        link_flags::{CHECKSUM_FINISH, CHECKSUM_PARTIAL},
    },
    counters::Counter::{FlowOpened, Forwarded, Redispatched, SynRetransmitted},
};

use crate::{
    packet::{
        Checksum, Packet,
        flags::{PSH, SYN},
        fold,
    },
    rig::{
        Conversation, Rig, Tier, each_family, now_tick,
        setting::{CONTROLLERS, FIRST, Family, Service},
    },
};

/// Longer than a SYN must be unanswered to say something of its backend, in ticks (0.75 s).
const SILENCE: u32 = 45;

const MOVED: [lb_common::counters::Counter; 3] = [SynRetransmitted, Redispatched, Forwarded];

fn option(kind: u8, length: u8) -> Vec<u8> {
    let mut option = vec![kind, length];
    option.resize(usize::from(length).next_multiple_of(4), 1);
    option
}

/// A SYN whose checksum is the sum of the pseudo-header, which is merely wrong on a link that is not known for it.
fn looks_unfinished(syn: &Packet) -> Packet {
    let (at, bytes) = (syn.tcp_at() + 16, syn.bytes());
    let right = u64::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    let error = fold(right + u64::from(!fold(syn.pseudo_header_sum())));
    Packet { checksum: Checksum::Wrong(error), ..syn.clone() }
}

/// What a client may make of its SYN so that no host answers it, or not every one.
fn strange(family: Family, syn: &Packet) -> Vec<(&'static str, Packet)> {
    let with = |tcp_options| Packet { tcp_options, ..syn.clone() };
    let mut strange = vec![
        ("a wrong checksum", Packet { checksum: Checksum::Wrong(1), ..syn.clone() }),
        ("a checksum that looks unfinished", looks_unfinished(syn)),
        ("data", Packet { payload: b"early data".to_vec(), ..syn.clone() }),
        ("another flag", Packet { flags: SYN | PSH, ..syn.clone() }),
        ("a reserved bit", Packet { reserved: 2, ..syn.clone() }),
        ("few hops to live", Packet { hops: 16, ..syn.clone() }),
        ("MD5", with(option(19, 18))),
        ("TCP-AO", with(option(29, 16))),
        ("MPTCP", with(option(30, 12))),
        ("MD5 behind others", with([&[1, 1, 4, 2][..], &option(19, 18)].concat())),
        ("MD5 at the end", with([vec![1; 20], option(19, 18)].concat())),
        ("an option of no length", with(vec![2, 0, 0, 0])),
        ("an option of the wrong length", with(vec![3, 4, 7, 7])),
        ("nothing but the kind of an option", with(vec![1, 1, 1, 2])),
    ];
    if family == Family::V4 {
        strange.push(("IP options", Packet { ip_options: vec![1; 4], ..syn.clone() }));
        strange.push(("a wrong checksum of the IP header", Packet { ip_error: 1, ..syn.clone() }));
    } else {
        let extension = vec![(60, vec![0, 0, 1, 4, 0, 0, 0, 0])];
        strange.push(("an extension header", Packet { extensions: extension, ..syn.clone() }));
    }
    strange
}

/// What is a SYN as any other.
fn ordinary(syn: &Packet) -> Vec<(&'static str, Packet)> {
    let with = |tcp_options| Packet { tcp_options, ..syn.clone() };
    let time_stamp = [8, 10, 1, 2, 3, 4, 0, 0, 0, 0];
    vec![
        ("no options", with(Vec::new())),
        ("a segment size", with(vec![2, 4, 5, 180])),
        ("what Linux sends", with([&[2, 4, 5, 180, 4, 2][..], &time_stamp, &[1, 3, 3, 7]].concat())),
        ("all that fits", with([&[1; 30][..], &time_stamp].concat())),
        ("an end before the end", with(vec![0, 19, 18, 0])),
        ("ECN", Packet { flags: SYN | 0xc0, reserved: 1, ..syn.clone() }),
        ("the least hops", Packet { hops: 17, ..syn.clone() }),
        ("padding", Packet { padding: vec![0xcc; 9], ..syn.clone() }),
    ]
}

/// A connection to the first backend, of which the SYN is changed.
fn begun(rig: &mut Rig, family: Family, port: u16) -> (Conversation, Packet) {
    rig.choose_from(family, Service::Api, &[FIRST], &CONTROLLERS);
    let mut talk = Conversation::new(family, Service::Api, port, FIRST);
    let syn = talk.client_says(SYN, &[]);
    (talk, syn)
}

/// A SYN that comes, and then another one of the same connection, late enough.
fn twice(rig: &mut Rig, talk: &Conversation, what: &str, first: &Packet, second: &Packet) {
    rig.forwards(talk, what, first, &[FlowOpened, Forwarded]);
    rig.age(Tier::HalfOpen, talk.reverse_key(), SILENCE);
    let next = talk.clone().to(talk.sequence(&CONTROLLERS)[1]);
    rig.moves((talk, &next), &format!("{what}, again"), second, &MOVED);
}

#[test]
fn a_syn_that_no_host_need_answer_shows_nothing() {
    each_family("a_syn_that_no_host_need_answer_shows_nothing", |rig, family| {
        let count = strange(family, &begun(rig, family, 1).1).len();
        for (port, number) in (25_000..).zip(0..count) {
            let (talk, syn) = begun(rig, family, port);
            let (what, syn) = strange(family, &syn).swap_remove(number);
            rig.forget_evidence();
            twice(rig, &talk, what, &syn, &syn);
            assert_eq!(rig.told(), [], "{what}");
        }
    });
}

/// Else somebody who sends such SYNs all the time would keep everything else from being told.
#[test]
fn a_syn_that_shows_nothing_hides_nothing() {
    each_family("a_syn_that_shows_nothing_hides_nothing", |rig, family| {
        rig.forget_evidence();
        for (port, checksum, told) in
            [(25_050, Checksum::Wrong(1), &[][..]), (25_051, Checksum::Right, &[(FIRST.id, Silent)])]
        {
            let (talk, syn) = begun(rig, family, port);
            let syn = Packet { checksum, ..syn };
            twice(rig, &talk, "a SYN", &syn, &syn);
            assert_eq!(rig.told(), told, "{checksum:?}");
        }
    });
}

#[test]
fn a_syn_as_any_other_shows_that_a_backend_is_silent() {
    each_family("a_syn_as_any_other_shows_that_a_backend_is_silent", |rig, family| {
        let count = ordinary(&begun(rig, family, 1).1).len();
        for (port, number) in (25_100..).zip(0..count) {
            let (talk, syn) = begun(rig, family, port);
            let (what, syn) = ordinary(&syn).swap_remove(number);
            rig.forget_evidence();
            twice(rig, &talk, what, &syn, &syn);
            assert_eq!(rig.told(), [(FIRST.id, Silent)], "{what}");
        }
    });
}

/// What the backend was sent and did not answer is what counts, not what has come again.
#[test]
fn the_syn_that_was_sent_counts() {
    each_family("the_syn_that_was_sent_counts", |rig, family| {
        for (port, first_is_right) in [(25_200, true), (25_201, false)] {
            rig.forget_evidence();
            let (talk, right) = begun(rig, family, port);
            let wrong = Packet { checksum: Checksum::Wrong(1), ..right.clone() };
            let (first, second) = if first_is_right { (&right, &wrong) } else { (&wrong, &right) };
            twice(rig, &talk, "one of two is wrong", first, second);
            let told: &[_] = if first_is_right { &[(FIRST.id, Silent)] } else { &[] };
            assert_eq!(rig.told(), told, "of the first");
            let sequence = talk.sequence(&CONTROLLERS);
            let (second, third) = (talk.clone().to(sequence[1]), talk.clone().to(sequence[2]));
            rig.age(Tier::HalfOpen, second.reverse_key(), SILENCE);
            rig.moves((&second, &third), "once more", &right, &MOVED);
            let told: &[_] = if first_is_right { &[] } else { &[(second.controller.id, Silent)] };
            assert_eq!(rig.told(), told, "of the second");
        }
    });
}

/// Else a wrong SYN, a right one when the time is over and one more at once would tell of a backend that had no time.
#[test]
fn a_backend_has_its_time_for_every_syn_that_it_is_sent() {
    each_family("a_backend_has_its_time_for_every_syn_that_it_is_sent", |rig, family| {
        rig.forget_evidence();
        let (talk, right) = begun(rig, family, 25_300);
        rig.choose(family, Service::Api, &[FIRST]);
        let wrong = Packet { checksum: Checksum::Wrong(1), ..right.clone() };
        rig.forwards(&talk, "a wrong one", &wrong, &[FlowOpened, Forwarded]);
        rig.age(Tier::HalfOpen, talk.reverse_key(), 2 * SILENCE);
        let before = now_tick();
        rig.forwards(&talk, "a right one, and nowhere to go", &right, &[SynRetransmitted, Forwarded]);
        assert_eq!(rig.told(), [], "of the wrong one");
        let seen = rig.pair(&talk, Tier::HalfOpen).reverse.meta.last_seen;
        assert!(seen.wrapping_sub(before) <= now_tick().wrapping_sub(before), "its time begins: {seen}");
        rig.age(Tier::HalfOpen, talk.reverse_key(), SILENCE);
        rig.forwards(&talk, "once more", &right, &[SynRetransmitted, Forwarded]);
        assert_eq!(rig.told(), [(FIRST.id, Silent)], "of the right one");
    });
}

/// A device will finish it, or we do.
#[test]
fn an_unfinished_checksum_is_right_on_a_link_known_for_it() {
    each_family("an_unfinished_checksum_is_right_on_a_link_known_for_it", |rig, family| {
        for (port, flag) in [(25_400, CHECKSUM_PARTIAL), (25_401, CHECKSUM_FINISH)] {
            rig.forget_evidence();
            rig.set_link_flags(0, flag);
            let (talk, syn) = begun(rig, family, port);
            let syn = Packet { checksum: Checksum::Unfinished, ..syn };
            rig.ingress = 0;
            rig.run(&syn.bytes());
            rig.age(Tier::HalfOpen, talk.reverse_key(), SILENCE);
            rig.run(&syn.bytes());
            assert_eq!(rig.told(), [(FIRST.id, Silent)], "with the flag {flag}");
        }
        rig.set_link_flags(0, 0);
    });
}

/// What leaves instead of a refusal is made here, so nothing is wrong with it any more.
#[test]
fn a_syn_that_was_made_counts() {
    each_family("a_syn_that_was_made_counts", |rig, family| {
        rig.forget_evidence();
        let (talk, right) = begun(rig, family, 25_500);
        let wrong = Packet { checksum: Checksum::Wrong(1), ..right.clone() };
        rig.forwards(&talk, "a wrong SYN", &wrong, &[FlowOpened, Forwarded]);
        let sequence = talk.sequence(&CONTROLLERS);
        let (second, third) = (talk.clone().to(sequence[1]), talk.clone().to(sequence[2]));
        let refusal = Packet { acknowledgment: right.sequence.wrapping_add(1), ..talk.refusal() };
        rig.redispatches((&talk, &second), "a refusal", &refusal, &right, &[Redispatched, Forwarded]);
        assert_eq!(rig.told(), [], "whoever refuses such a SYN shows nothing");
        rig.age(Tier::HalfOpen, second.reverse_key(), SILENCE);
        rig.moves((&second, &third), "the SYN again", &wrong, &MOVED);
        assert_eq!(rig.told(), [(second.controller.id, Silent)], "of the one that was made");
    });
}
