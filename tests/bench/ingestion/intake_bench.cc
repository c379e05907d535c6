// What a line costs on its way from bytes to a finished batch (parse, source, enrichment, batch),
// without and with enrichment. Bytes a second are those of the lines.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "fmt/format.h"

#include "common/clock/clock.h"
#include "common/testing/fortigate_lines.h"
#include "services/ingestion/domain/intake.h"
#include "services/ingestion/domain/quarantine.h"
#include "yagura/directory/v1/asset.pb.h"
#include "yagura/directory/v1/site.pb.h"
#include "yagura/directory/v1/source.pb.h"

namespace {

using namespace yagura::ingestion;  // NOLINT(google-build-using-namespace)
namespace dv1 = yagura::directory::v1;

constexpr size_t kLines = 20'000;
constexpr int kAssets = 10'000;
constexpr int kIndicators = 100'000;

const std::vector<std::string>& Lines() {
  static const std::vector<std::string> kText = [] {
    std::vector<std::string> lines;
    yagura::testing::FortigateLines generator;
    while (lines.size() < kLines) lines.push_back(generator.Next());
    return lines;
  }();
  return kText;
}

std::shared_ptr<const AssetMap> Assets() {
  std::vector<dv1::Asset> assets(kAssets);
  for (int i = 0; i < kAssets; ++i) {
    auto& asset = assets[static_cast<size_t>(i)];
    asset.set_name(fmt::format("tenants/acme/assets/pc-{}", i));
    asset.add_addresses()->set_site("hq");
    asset.mutable_addresses(0)->set_address(fmt::format("10.1.{}.{}", i / 256, i % 256));
  }
  dv1::Site site;
  site.set_name("tenants/acme/sites/hq");
  site.add_networks("198.51.100.0/24");
  return AssetMap::Build(assets, {site});
}

std::shared_ptr<const ThreatLists> Threats(bool with_hashes) {
  const auto folder =
      std::filesystem::temp_directory_path() / fmt::format("yagura-intake-bench-{}", ::getpid());
  std::filesystem::create_directories(folder);
  std::ofstream file(folder / "list.txt");
  for (int i = 0; i < kIndicators; ++i) {
    file << fmt::format("{}.{}.{}.{}\nbad{}.example\n", 11 + i % 80, i / 256 % 256, i % 256,
                        i % 251, i);
    if (with_hashes) file << fmt::format("{:032x}\n", i);
  }
  file.close();
  std::vector<std::string> problems;
  auto lists = ThreatLists::Load(folder, &problems);
  std::filesystem::remove_all(folder);
  return lists.ok() ? *std::move(lists) : nullptr;
}

void Run(benchmark::State& state, const std::shared_ptr<const CurrentEnrichment>& enrichment) {
  dv1::Source source;
  source.set_name("tenants/acme/sources/fw");
  source.set_site("hq");
  source.mutable_match()->set_cidr("192.0.2.0/24");
  const auto sources = SourceMap::Build({source}, {}, nullptr);
  Intake::Options options;
  options.instance = "bench";
  options.enrichment = enrichment;
  Intake intake(options, std::make_shared<Quarantine>());
  SenderState sender({"syslog_tcp", *yagura::event::IpAddress::Parse("192.0.2.1"), {}});
  const auto now = yagura::SystemClock()->SteadyNow();
  const yagura::TimePoint receive_time(std::chrono::seconds(1'790'000'000));
  size_t bytes = 0;
  for (auto unused : state) {
    for (const std::string& line : Lines()) {
      intake.Add(sender, sources, line, false, receive_time, now);
      bytes += line.size();
      if (intake.has_ready()) benchmark::DoNotOptimize(intake.TakeReady(now));
    }
  }
  state.SetBytesProcessed(static_cast<int64_t>(bytes));
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kLines));
}

void BM_IntakeAlone(benchmark::State& state) { Run(state, nullptr); }
BENCHMARK(BM_IntakeAlone);

// Nothing is set up: internal and external are told all the same.
void BM_IntakeScope(benchmark::State& state) { Run(state, std::make_shared<CurrentEnrichment>()); }
BENCHMARK(BM_IntakeScope);

// 10,000 assets and lists of 100,000 addresses and as many domains.
void BM_IntakeEnriched(benchmark::State& state) {
  Enrichment enrichment;
  enrichment.assets = Assets();
  enrichment.threats = Threats(false);
  const auto current = std::make_shared<CurrentEnrichment>();
  current->Set(std::make_shared<const Enrichment>(enrichment));
  Run(state, current);
}
BENCHMARK(BM_IntakeEnriched);

// And as many hashes, which may be in any field.
void BM_IntakeEnrichedHashes(benchmark::State& state) {
  Enrichment enrichment;
  enrichment.assets = Assets();
  enrichment.threats = Threats(true);
  const auto current = std::make_shared<CurrentEnrichment>();
  current->Set(std::make_shared<const Enrichment>(enrichment));
  Run(state, current);
}
BENCHMARK(BM_IntakeEnrichedHashes);

}  // namespace

BENCHMARK_MAIN();
