//! Files whose headers a model reads: the trainer's golden vectors as a client sends them, and whatever else may come in such a frame.

use super::{ALWAYS, NEVER, get, with};
use crate::support::{Got, Models, Peer, entry, ping, stop, vote, write_rules};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use verdict_models::card::Card;
use verdict_models::golden::{self, Vector};
use verdict_models::registry::score_of;
use verdict_models::trees::PE_1;
use verdict_tables::{Class, Rule};
use verdict_wire as wire;
use wire::{Answer, FeatureSet, FileQuestion, FilesWriter, Flags};

fn beside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(path)
}

/// The models' directory with the PE model in it, and its table.
fn pe(models: &Models, mode: &str, suspicious: &str) -> String {
    ["pe.onnx", "pe.trees.json"].into_iter().for_each(|name| models.repair(name));
    let card = Card::read(&std::fs::read_to_string(beside("artefacts/pe.toml")).unwrap()).unwrap();
    format!(
        "[[model]]\nname = \"pe\"\nversion = {}\nfile = \"pe.onnx\"\nsha256 = \"{}\"\nkind = \"file\"\nmode = \"{mode}\"\ncpu_percent = 100.0\n\
         expires = 2099-01-01\nprovenance = {{ data = [] }}\nfeatures = {{ name = \"pe-1\", trees = \"pe.trees.json\", trees_sha256 = \"{}\" }}\n\
         [[model.head]]\nname = \"malware\"\ncategories = [\"malware\"]\nsuspicious = {suspicious}\n",
        card.version,
        card.sha256,
        card.trees_sha256.unwrap()
    )
}

fn vectors() -> Vec<Vector> {
    golden::read(&std::fs::read(beside("golden/pe.ndjson")).unwrap()).unwrap()
}

fn values_of(vector: &Vector) -> Vec<i64> {
    PE_1.iter().map(|name| vector.fields.get(*name).copied().unwrap_or(-1)).collect()
}

fn digest(number: usize) -> [u8; 32] {
    std::array::from_fn(|at| (number >> (8 * (at % 4))) as u8)
}

fn program(number: usize, values: &[i64]) -> FileQuestion<'_> {
    FileQuestion { sha256: digest(number), features: FeatureSet::Pe1.raw(), values }
}

fn frame<'v>(files: impl IntoIterator<Item = FileQuestion<'v>>, budget_us: u32) -> Vec<u8> {
    let mut frame = Vec::new();
    let mut writer = FilesWriter::new(&mut frame, 7).budget_us(budget_us);
    files.into_iter().for_each(|file| writer.push(&file).unwrap());
    writer.finish().unwrap();
    frame
}

fn answers(peer: &mut Peer<std::net::TcpStream>) -> Vec<Answer> {
    match peer.receive() {
        Some(Got::Answers { answers, .. }) => answers,
        other => panic!("expected answers, got {other:?}"),
    }
}

/// With all the time there is.
fn ask<'v>(peer: &mut Peer<std::net::TcpStream>, files: impl IntoIterator<Item = FileQuestion<'v>>) -> Vec<Answer> {
    peer.send(&frame(files, wire::BUDGET_US_MAX));
    answers(peer)
}

#[test]
fn a_program_gets_the_score_that_the_trainer_has_for_its_fields() {
    let (scratch, models) = (crate::support::Scratch::new(), Models::new());
    let (daemon, mut peer) = with(&scratch, &models, &pe(&models, "enforce", "2.0"));
    let vectors = vectors();
    let values: Vec<Vec<i64>> = vectors.iter().map(values_of).collect();
    let files = || values.iter().enumerate().map(|(number, values)| program(number, values));
    let whole = ask(&mut peer, files());
    for (answer, vector) in whole.iter().zip(&vectors) {
        let class = if vector.int8[0] >= 2.0 { wire::Class::Suspicious } else { wire::Class::Unknown };
        assert_eq!(
            (answer.class(), answer.score(), answer.flags()),
            (class, score_of(vector.int8[0]), Flags::FROM_MODEL),
            "{:?}",
            vector.int8
        );
    }
    assert!(whole.iter().any(|answer| answer.class() == wire::Class::Suspicious));
    let mut alone = Vec::new();
    files().for_each(|file| alone.extend(ask(&mut peer, [file])));
    assert_eq!(whole, alone, "remembered or not, alone or not");
    assert_eq!(daemon.metrics.shards[0].model_remembered.get(), vectors.len() as u64);

    let suspicious = whole.iter().find(|answer| answer.class() == wire::Class::Suspicious).unwrap();
    assert_eq!(suspicious.categories(), wire::Categories::MALWARE);
    let mut describe = Vec::new();
    wire::encode_describe(&mut describe, 9, daemon.metrics.shards[0].generation.get(), &[suspicious.id()]).unwrap();
    peer.send(&describe);
    let Some(Got::Descriptions { sources, .. }) = peer.receive() else { panic!("no descriptions") };
    assert_eq!(sources[0][1], "malware");
    assert!(sources[0][0].starts_with("pe@"), "{sources:?}");
    stop(daemon);
}

#[test]
fn tables_decide_first_and_what_no_model_reads_is_answered_by_them_alone() {
    let (scratch, models) = (crate::support::Scratch::new(), Models::new());
    let listed = (Rule::File(verdict_keys::Digest::Sha256(digest(1))), vote(0, Class::Malicious));
    let allowed = (Rule::File(verdict_keys::Digest::Sha256(digest(2))), verdict_tables::Vote { allow: true, ..vote(0, Class::Clean) });
    write_rules(&scratch.join("current.snap"), &[listed, allowed]);
    let (daemon, mut peer) = with(&scratch, &models, &pe(&models, "enforce", ALWAYS));
    let fields = [5; 49];
    let other = |number, features, values| FileQuestion { sha256: digest(number), features, values };
    let asked = [
        program(1, &fields),
        program(2, &fields),
        program(3, &fields),
        FileQuestion::of_digest(digest(3)),
        other(3, 77, &fields[..]),
        other(3, 77, &[]),
        other(1, 77, &fields[..3]),
    ];
    let got = ask(&mut peer, asked);
    use wire::Class::*;
    let classes: Vec<_> = got.iter().map(|answer| answer.class()).collect();
    assert_eq!(classes, [Malicious, Clean, Suspicious, Unknown, Unknown, Unknown, Malicious]);
    let from_model: Vec<bool> = got.iter().map(|answer| answer.flags().contains(Flags::FROM_MODEL)).collect();
    assert_eq!(from_model, [false, false, true, false, false, false, false]);
    assert_eq!(daemon.metrics.shards[0].model_scored.get(), 1);
    stop(daemon);
}

#[test]
fn what_one_client_says_of_a_file_spoils_nobody_elses_answer() {
    let (scratch, models) = (crate::support::Scratch::new(), Models::new());
    let (daemon, mut peer) = with(&scratch, &models, &pe(&models, "enforce", "2.0"));
    let vectors = vectors();
    let mut by_logit: Vec<&Vector> = vectors.iter().collect();
    by_logit.sort_by(|a, b| a.int8[0].total_cmp(&b.int8[0]));
    let (good, bad) = (values_of(by_logit[0]), values_of(by_logit[by_logit.len() - 1]));
    for _ in 0..2 {
        let got = ask(&mut peer, [program(1, &good), program(1, &bad), program(2, &good)]);
        use wire::Class::*;
        assert_eq!(got.iter().map(|answer| answer.class()).collect::<Vec<_>>(), [Unknown, Suspicious, Unknown]);
    }
    stop(daemon);
}

#[test]
fn files_and_texts_of_one_turn_get_their_own_models() {
    let (scratch, models) = (crate::support::Scratch::new(), Models::new());
    let tables = pe(&models, "enforce", ALWAYS) + &entry("url", "url", "enforce", [ALWAYS, NEVER]);
    let (daemon, mut peer) = with(&scratch, &models, &tables);
    let fields: Arc<[i64]> = [7; 49].into();
    for round in 0..10 {
        let mut bytes = Vec::new();
        let mut writer = wire::LookupWriter::new(&mut bytes, 1).budget_us(wire::BUDGET_US_MAX);
        for number in 0..130 {
            writer.push(wire::KeyKind::Url.raw(), format!("http://n{round}.test/{number}").as_bytes()).unwrap();
        }
        writer.push(wire::KeyKind::Url.raw(), b"http://evil.test/").unwrap();
        writer.push(wire::KeyKind::Sha256.raw(), &digest(round)).unwrap();
        writer.finish().unwrap();
        let files = (0..20).map(|number| program(1000 * round + number, &fields)).chain([FileQuestion::of_digest(digest(round))]);
        bytes.extend(frame(files, wire::BUDGET_US_MAX));
        bytes.extend(ping(3, b"after"));
        peer.send(&bytes);
        use wire::Class::*;
        let of_texts: Vec<_> = answers(&mut peer).iter().map(|answer| answer.class()).collect();
        assert_eq!(of_texts, [[Suspicious; 130].as_slice(), &[Malicious, Unknown]].concat(), "more than a batch of 128");
        let of_files = answers(&mut peer);
        let odd = of_files[..20].iter().find(|answer| answer.class() != Suspicious || answer.categories() != wire::Categories::MALWARE);
        assert_eq!(odd, None, "round {round}: {}", get(&daemon, "/models"));
        assert_eq!(of_files[20], Answer::default(), "a digest alone is no question for a model");
        assert!(matches!(peer.receive(), Some(Got::Pong { id: 3, .. })));
    }
    stop(daemon);
}

#[test]
fn a_file_without_time_is_marked_and_one_on_trial_is_told_by_its_digest() {
    let (scratch, models) = (crate::support::Scratch::new(), Models::new());
    let (daemon, mut peer) = with(&scratch, &models, &pe(&models, "enforce", ALWAYS));
    let fields = [7; 49];
    peer.send(&frame([program(1, &fields)], 1));
    assert_eq!(answers(&mut peer)[0].flags(), Flags::DEGRADED);
    assert_eq!(ask(&mut peer, [program(1, &fields)])[0].flags(), Flags::FROM_MODEL, "it was not remembered");
    stop(daemon);

    models.publish(2, &pe(&models, "shadow", ALWAYS));
    let mut config = crate::support::config(&scratch);
    models.configure(&mut config);
    config.models.sample_keys = true;
    let daemon = crate::support::start(&config);
    let mut peer = Peer::connect(daemon.tcp[0]);
    assert_eq!(ask(&mut peer, [program(0x0102_03AB, &fields)])[0].flags(), Flags::SHADOW_DISAGREES);
    let page = get(&daemon, "/models");
    assert!(page.contains("\"disagreed\": 1") && page.contains(&"ab030201".repeat(8)), "{page}");
    stop(daemon);
}
