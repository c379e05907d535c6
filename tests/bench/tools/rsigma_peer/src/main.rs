// rsigma over files of JSON lines: rsigma_peer RULES_FOLDER ROUNDS MODE FILE...
// MODE: "all" asks every rule about every event; "pruned" tells rsigma each event's logsource; "tuned" also switches
// its prefilters on. Events are parsed before the clock starts. One JSON line a round.
use std::collections::HashMap;
use std::io::BufRead;

use rsigma_eval::Engine;
use rsigma_eval::event::JsonEvent;
use rsigma_parser::{LogSource, parse_sigma_directory};
use serde_json::Value;

const SYSMON: &str = "Microsoft-Windows-Sysmon/Operational";

fn category(channel: &str, id: i64) -> Option<&'static str> {
    match (channel, id) {
        (SYSMON, 1) | ("Security", 4688) => Some("process_creation"),
        (SYSMON, 2) => Some("file_change"),
        (SYSMON, 3) | ("Security", 5156) => Some("network_connection"),
        (SYSMON, 5) => Some("process_termination"),
        (SYSMON, 6) => Some("driver_load"),
        (SYSMON, 7) => Some("image_load"),
        (SYSMON, 8) => Some("create_remote_thread"),
        (SYSMON, 9) => Some("raw_access_thread"),
        (SYSMON, 10) => Some("process_access"),
        (SYSMON, 11) => Some("file_event"),
        (SYSMON, 12) => Some("registry_delete"),
        (SYSMON, 13) => Some("registry_set"),
        (SYSMON, 14) => Some("registry_rename"),
        (SYSMON, 15) => Some("create_stream_hash"),
        (SYSMON, 17 | 18) => Some("pipe_created"),
        (SYSMON, 22) => Some("dns_query"),
        (SYSMON, 23 | 26) => Some("file_delete"),
        ("Microsoft-Windows-PowerShell/Operational", 4104) => Some("ps_script"),
        ("Microsoft-Windows-PowerShell/Operational", 4103) => Some("ps_module"),
        ("Windows PowerShell", 400) => Some("ps_classic_start"),
        ("Windows PowerShell", 600) => Some("ps_classic_provider_start"),
        _ => None,
    }
}

fn service(channel: &str) -> Option<String> {
    Some(match channel {
        SYSMON => "sysmon".into(),
        "Microsoft-Windows-PowerShell/Operational" => "powershell".into(),
        "Windows PowerShell" => "powershell-classic".into(),
        "Microsoft-Windows-WMI-Activity/Operational" => "wmi".into(),
        "Microsoft-Windows-Bits-Client/Operational" => "bits-client".into(),
        other => other.to_lowercase(),
    })
}

fn logsource(event: &Value) -> LogSource {
    let channel = event["Channel"].as_str().unwrap_or("");
    let id = event["EventID"].as_i64().unwrap_or(0);
    LogSource {
        category: category(channel, id).map(String::from),
        product: Some("windows".into()),
        service: service(channel),
        definition: None,
        custom: HashMap::new(),
    }
}

// The CPU time of this thread: others on the machine do not count.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds: f64 = text.split(' ').next().unwrap().parse().unwrap();
    nanoseconds / 1e9
}

fn peak_mb() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let rounds: usize = arguments[2].parse().expect("ROUNDS is a number");
    let mode = arguments[3].as_str();
    let collection = parse_sigma_directory(std::path::Path::new(&arguments[1])).expect("rules");
    let mut engine = Engine::new();
    if mode == "tuned" {
        engine.set_bloom_prefilter(true);
        engine.set_cross_rule_ac(true);
    }
    let refused = engine.add_rules(&collection.rules).len();

    let mut events = Vec::new();
    for file in &arguments[4..] {
        let lines = std::io::BufReader::new(std::fs::File::open(file).expect("events")).lines();
        for line in lines {
            let event: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
            let source = logsource(&event);
            events.push((event, source));
        }
    }
    for _ in 0..rounds {
        let start = cpu_seconds();
        let mut matches = 0;
        for (event, source) in &events {
            let event = JsonEvent::borrow(event);
            matches += match mode {
                "all" => engine.evaluate(&event).len(),
                _ => engine.evaluate_pruned(&event, source).len(),
            };
        }
        let seconds = cpu_seconds() - start;
        println!(
            "{{\"mode\":\"{mode}\",\"rules\":{},\"refused\":{refused},\"events\":{},\"matches\":{matches},\"seconds\":{seconds:.4},\"peak_mb\":{}}}",
            engine.rule_count(),
            events.len(),
            peak_mb()
        );
    }
}
