// Sigma rules over recorded Windows events: events a second on one core, by events a batch. Prints
// how many rules were loaded and why the others were refused.
#include <benchmark/benchmark.h>
#include <zstd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "fmt/format.h"

#include "common/event/batch_codec.h"
#include "common/status/status.h"
#include "services/detection/domain/engine/batch_matcher.h"
#include "simdjson.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::detection {
namespace {

std::filesystem::path DataFolder() {
  if (const char* data = std::getenv("YAGURA_DATA")) return data;
  const char* source = std::getenv("YAGURA_SOURCE_DIR");
  return std::filesystem::path(source != nullptr ? source : ".") / ".." / "shared" / "data";
}

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::shared_ptr<const RuleSet> LoadRules() {
  std::vector<RuleSet::Entry> entries;
  std::map<std::string, int> refused;
  int files = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(DataFolder() / "sigma")) {
    if (file.path().extension() != ".yml") continue;
    ++files;
    auto parsed = ParseSigma(ReadAll(file.path()));
    if (parsed.ok()) {
      entries.push_back({"", std::make_shared<const ParsedRule>(*std::move(parsed))});
      continue;
    }
    const std::string message(Message(parsed.status()));
    ++refused[message.substr(message.starts_with("line ") ? message.find(": ") + 2 : 0)];
  }
  fmt::print("{} rule files: {} loaded, {} refused\n", files, entries.size(),
             files - static_cast<int>(entries.size()));
  std::vector<std::pair<int, std::string>> reasons;
  for (const auto& [reason, count] : refused) reasons.emplace_back(count, reason);
  std::sort(reasons.rbegin(), reasons.rend());
  for (size_t i = 0; i < reasons.size() && i < 12; ++i) {
    fmt::print("  {:4} {}\n", reasons[i].first, reasons[i].second);
  }
  return RuleSet::Build(std::move(entries));
}

void AddEvent(simdjson::dom::parser& parser, std::string_view line, event::BatchBuilder& builder) {
  simdjson::dom::object object;
  if (parser.parse(line.data(), line.size()).get_object().get(object) != simdjson::SUCCESS) return;
  event::v1::Event event;
  event.set_raw(line.data(), line.size());
  event.set_product("microsoft.windows");
  for (const auto [key, value] : object) {
    auto* field = event.add_fields();
    field->set_name(std::string(key));
    std::string_view text;
    if (value.get_string().get(text) == simdjson::SUCCESS) {
      field->set_value(std::string(text));
    } else {
      field->set_value(simdjson::minify(value));
    }
  }
  builder.Add(event);
}

// The first `limit` events of every file, in batches of `per_batch`.
const std::vector<std::string>& Batches(size_t per_batch, size_t limit) {
  static std::map<size_t, std::vector<std::string>> made;
  auto& batches = made[per_batch];
  if (!batches.empty()) return batches;
  simdjson::dom::parser parser;
  for (const auto& file : std::filesystem::directory_iterator(DataFolder() / "windows-events")) {
    if (file.path().extension() != ".zst") continue;
    const std::string packed = ReadAll(file.path());
    std::string text(ZSTD_getFrameContentSize(packed.data(), packed.size()), '\0');
    ZSTD_decompress(text.data(), text.size(), packed.data(), packed.size());
    event::BatchBuilder builder({"acme", event::BatchIdOf({file.path().string()}), TimePoint()});
    std::istringstream lines(text);
    std::string line;
    for (size_t i = 0; i < limit && std::getline(lines, line); ++i) {
      AddEvent(parser, line, builder);
      if (builder.size() >= per_batch) batches.push_back(builder.Finish());
    }
    if (builder.size() > 0) batches.push_back(builder.Finish());
  }
  return batches;
}

void BM_SigmaOverWindowsEvents(benchmark::State& state) {
  static const auto rules = LoadRules();
  const auto& batches = Batches(static_cast<size_t>(state.range(0)), 1000);
  if (batches.empty() || rules->entries().empty()) {
    state.SkipWithError("no data: set YAGURA_DATA");
    return;
  }
  BatchMatcher matcher(rules);
  size_t events = 0;
  size_t matches = 0;
  std::set<uint32_t> rules_hit;
  for (auto _ : state) {
    matches = 0;
    for (const auto& bytes : batches) {
      auto reader = event::BatchReader::Open(bytes);
      const auto found = matcher.Run(*reader);
      events += reader->size();
      matches += found->size();
      for (const auto& match : *found) rules_hit.insert(match.target);
    }
  }
  state.counters["events/s"] =
      benchmark::Counter(static_cast<double>(events), benchmark::Counter::kIsRate);
  state.counters["matches"] = static_cast<double>(matches);
  state.counters["rules_hit"] = static_cast<double>(rules_hit.size());
}
BENCHMARK(BM_SigmaOverWindowsEvents)
    ->Arg(24)
    ->Arg(64)
    ->Arg(256)
    ->Arg(1024)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace yagura::detection

BENCHMARK_MAIN();
