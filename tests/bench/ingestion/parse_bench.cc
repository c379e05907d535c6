// How fast lines become events, beside the least that reading the same bytes costs: a memchr scan
// for line ends, and a bare tokeniser of name=value. Bytes a second are those of the lines.
#include <benchmark/benchmark.h>

#include <cstring>
#include <string>
#include <vector>

#include "common/event/batch_codec.h"
#include "common/testing/fortigate_lines.h"
#include "services/ingestion/domain/described/catalogue.h"
#include "services/ingestion/domain/framing.h"
#include "services/ingestion/domain/line_pipeline.h"

namespace {

using yagura::ingestion::Framer;
using yagura::ingestion::LineContext;
using yagura::ingestion::LinePipeline;

constexpr size_t kTextBytes = 8 << 20;

LineContext Context() {
  LineContext context;
  context.receive_time = yagura::TimePoint(std::chrono::seconds(1'790'000'000));
  context.origin = "192.0.2.1";
  return context;
}

const std::string& FirewallText() {
  static const std::string kText = [] {
    std::string text;
    yagura::testing::FortigateLines lines;
    while (text.size() < kTextBytes) text += lines.Next() + "\n";
    return text;
  }();
  return kText;
}

std::string Repeat(const std::vector<std::string>& lines) {
  std::string text;
  for (size_t i = 0; text.size() < kTextBytes; ++i) text += lines[i % lines.size()] + "\n";
  return text;
}

// What no description knows.
const std::string& SyslogText() {
  static const std::string kText = Repeat(
      {"<30>Nov 21 09:15:42 srv1 agentd[4242]: worker 7 took job 51234 of queue mail in 12 ms, "
       "state=done retries=0",
       "<30>1 2026-11-21T09:15:42.123456+09:00 srv2 backup 77 - [meta sequenceId=\"29\"] copied 3 "
       "files from volume a to volume b"});
  return kText;
}

// What a description in content/parsers takes apart with Grok.
const std::string& SshText() {
  static const std::string kText = Repeat(
      {"<38>Nov 21 09:15:42 srv1 sshd[4242]: Failed password for invalid user admin from 192.0.2.7 "
       "port 50022 ssh2"});
  return kText;
}
const std::string& AsaText() {
  static const std::string kText = Repeat(
      {"<166>Nov 21 2026 09:15:42 asa1 : %ASA-6-302013: Built outbound TCP connection 4711 for "
       "outside:198.51.100.7/443 (198.51.100.7/443) to inside:10.1.0.5/51515 (203.0.113.5/1024)"});
  return kText;
}
const std::string& PaloAltoText() {
  static const std::string kText = Repeat(
      {"<14>Nov 21 09:15:42 pa1 1,2026/11/21 09:15:42,007200001056,TRAFFIC,end,2560,2026/11/21 "
       "09:15:42,10.1.0.5,198.51.100.7,203.0.113.5,198.51.100.7,out-web,corp\\alice,,ssl,vsys1,"
       "trust,"
       "untrust,ethernet1/2,ethernet1/1,fwd,2026/11/21 "
       "09:15:42,36459,1,39681,443,32326,443,0x400053,"
       "tcp,allow,43135,24629,18506,189,2026/11/21 09:10:31,301,business,0,135,0x0,Japan,United "
       "States,0,90,99,tcp-fin"});
  return kText;
}

const std::string& JsonText() {
  static const std::string kText = Repeat(
      {R"({"EventID":3,"Channel":"Microsoft-Windows-Sysmon/Operational","Hostname":"pc1.example.com","UtcTime":"2026-11-21 00:15:42.100","@timestamp":"2026-11-21T00:15:42.100Z","SourceName":"Microsoft-Windows-Sysmon","Image":"C:\\Windows\\System32\\svchost.exe","User":"NT AUTHORITY\\SYSTEM","Protocol":"udp","SourceIp":"10.1.0.5","SourcePort":"137","DestinationIp":"10.1.0.255","DestinationPort":"137","Message":"Network connection detected:\r\nRuleName: -\r\nUtcTime: 2026-11-21 00:15:42.100"})"});
  return kText;
}

template <typename Visit>
void ForEachLine(std::string_view text, const Visit& visit) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    visit(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
}

void Count(benchmark::State& state, const std::string& text) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}

void BM_Memchr(benchmark::State& state) {
  const std::string& text = FirewallText();
  for (auto step : state) {
    size_t lines = 0;
    ForEachLine(text, [&](std::string_view) { ++lines; });
    benchmark::DoNotOptimize(lines);
  }
  Count(state, text);
}
BENCHMARK(BM_Memchr);

void BM_BareTokeniser(benchmark::State& state) {
  const std::string& text = FirewallText();
  for (auto step : state) {
    size_t pairs = 0;
    ForEachLine(text, [&](std::string_view line) {
      const char* at = line.data();
      const char* const end = at + line.size();
      while (at < end) {
        const void* equals = std::memchr(at, '=', static_cast<size_t>(end - at));
        if (equals == nullptr) break;
        at = static_cast<const char*>(equals) + 1;
        const bool quoted = at < end && *at == '"';
        at += quoted;
        const void* stop = std::memchr(at, quoted ? '"' : ' ', static_cast<size_t>(end - at));
        at = stop == nullptr ? end : static_cast<const char*>(stop) + 1;
        ++pairs;
      }
    });
    benchmark::DoNotOptimize(pairs);
  }
  Count(state, text);
}
BENCHMARK(BM_BareTokeniser);

void BM_Framing(benchmark::State& state) {
  const std::string& text = FirewallText();
  for (auto step : state) {
    Framer framer;
    size_t lines = 0;
    for (size_t at = 0; at < text.size(); at += 256 * 1024) {
      framer.Feed(std::string_view(text).substr(at, 256 * 1024),
                  [&](std::string_view, bool) { ++lines; });
    }
    benchmark::DoNotOptimize(lines);
  }
  Count(state, text);
}
BENCHMARK(BM_Framing);

void Parse(benchmark::State& state, const std::string& text) {
  const auto parsers = yagura::ingestion::ParserCatalogue::Load(YAGURA_CONTENT "/parsers");
  if (!parsers.ok()) {
    state.SkipWithError("content/parsers cannot be read");
    return;
  }
  LinePipeline pipeline(*parsers);
  LineContext context = Context();
  yagura::ingestion::Parser* likely = nullptr;
  context.likely = &likely;
  for (auto step : state) {
    ForEachLine(text, [&](std::string_view line) {
      benchmark::DoNotOptimize(pipeline.Process(line, context).event.fields.size());
    });
  }
  Count(state, text);
}
void BM_ParseFirewall(benchmark::State& state) { Parse(state, FirewallText()); }
void BM_ParseSyslog(benchmark::State& state) { Parse(state, SyslogText()); }
void BM_ParseJson(benchmark::State& state) { Parse(state, JsonText()); }
BENCHMARK(BM_ParseFirewall);
BENCHMARK(BM_ParseSyslog);
BENCHMARK(BM_ParseJson);
void BM_ParseSsh(benchmark::State& state) { Parse(state, SshText()); }
void BM_ParseCiscoAsa(benchmark::State& state) { Parse(state, AsaText()); }
void BM_ParsePaloAlto(benchmark::State& state) { Parse(state, PaloAltoText()); }
BENCHMARK(BM_ParseSsh);
BENCHMARK(BM_ParseCiscoAsa);
BENCHMARK(BM_ParsePaloAlto);

// From the bytes of a connection to batches ready for the flow Redis.
void BM_FrameParseBatchFirewall(benchmark::State& state) {
  const std::string& text = FirewallText();
  LinePipeline pipeline;
  const LineContext context = Context();
  yagura::event::BatchBuilder builder({"acme", "batch", context.receive_time});
  for (auto step : state) {
    Framer framer;
    for (size_t at = 0; at < text.size(); at += 256 * 1024) {
      framer.Feed(std::string_view(text).substr(at, 256 * 1024), [&](std::string_view line, bool) {
        builder.Add(pipeline.Process(line, context).event);
        if (builder.size_bytes() >= 64 * 1024) benchmark::DoNotOptimize(builder.Finish());
      });
    }
  }
  Count(state, text);
}
BENCHMARK(BM_FrameParseBatchFirewall);

}  // namespace

BENCHMARK_MAIN();
