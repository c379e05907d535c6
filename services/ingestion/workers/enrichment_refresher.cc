#include "services/ingestion/workers/enrichment_refresher.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "fmt/format.h"
#include "grpcpp/channel.h"

#include "common/rpc/channels.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/ingestion/workers/directory_pages.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"

namespace yagura::ingestion {
namespace {

namespace dv1 = directory::v1;

constexpr auto kTimeout = std::chrono::seconds(30);
constexpr std::chrono::milliseconds kSecondTry{1'000};
constexpr size_t kMaxAssets = 500'000;

// Differs where the file does, as far as can be seen from outside.
std::string Look(const std::filesystem::path& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  const auto time = std::filesystem::last_write_time(file, error);
  return fmt::format("{} {} {};", file.string(), size, time.time_since_epoch().count());
}

std::string LookAtFolder(const std::filesystem::path& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    if (at->path().extension() == ".txt") files.push_back(Look(at->path()));
  }
  std::sort(files.begin(), files.end());
  return (error ? error.message() : std::string()) + Join(files, "");
}

}  // namespace

EnrichmentRefresher::EnrichmentRefresher(Options options, std::shared_ptr<rpc::Channels> channels,
                                         std::shared_ptr<CurrentEnrichment> current, Logger logger)
    : options_(std::move(options)),
      channels_(std::move(channels)),
      current_(std::move(current)),
      logger_(std::move(logger)) {}

EnrichmentRefresher::~EnrichmentRefresher() { Stop(); }

void EnrichmentRefresher::Start() {
  RefreshFiles();
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void EnrichmentRefresher::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void EnrichmentRefresher::Run(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  bool first = true;
  while (!stop.stop_requested()) {
    RefreshFiles();
    const Status status = channels_ == nullptr ? absl::OkStatus() : RefreshAssets();
    // Services that start together find each other at the second try: the first one is no news.
    const bool too_early = std::exchange(first, false) && !status.ok();
    const std::string error(too_early ? std::string_view() : Message(status));
    if (!error.empty() && error != last_error_) {
      logger_.Warning("assets cannot be asked for; the last ones stay", {{"error", error}});
    }
    last_error_ = error;
    std::unique_lock lock(mutex);
    changed.wait_for(lock, stop,
                     too_early ? std::min(options_.interval, kSecondTry) : options_.interval,
                     [] { return false; });
  }
}

void EnrichmentRefresher::RefreshFiles() {
  RefreshLists();
  RefreshGeo();
  Publish();
}

void EnrichmentRefresher::RefreshLists() {
  if (options_.threat_lists.empty()) return;
  std::string seen = LookAtFolder(options_.threat_lists);
  if (seen == lists_seen_) return;
  std::vector<std::string> problems;
  auto lists = ThreatLists::Load(options_.threat_lists, &problems);
  if (!lists.ok()) {
    Tell("threat lists cannot be read; the last ones stay", lists.status(), &lists_error_);
    return;
  }
  lists_seen_ = std::move(seen);
  lists_error_.clear();
  if (!problems.empty()) {
    logger_.Warning("lines of threat lists that say nothing", {{"lines", Join(problems, "; ")}});
  }
  logger_.Info("threat lists read",
               {{"lists", (*lists)->lists()}, {"indicators", (*lists)->size()}});
  next_.threats = *std::move(lists);
  changed_ = true;
}

void EnrichmentRefresher::RefreshGeo() {
  std::string seen;
  for (const auto& file : options_.geo_files) seen += Look(file);
  if (seen == geo_seen_) return;
  std::vector<std::shared_ptr<const GeoDatabase>> databases;
  for (const auto& file : options_.geo_files) {
    auto database = GeoDatabase::Open(file);
    if (!database.ok()) {
      Tell("a GeoIP file cannot be read; the last ones stay", database.status(), &geo_error_);
      return;
    }
    databases.push_back(*std::move(database));
  }
  geo_seen_ = std::move(seen);
  geo_error_.clear();
  next_.geo = std::move(databases);
  changed_ = true;
}

// What fails is tried again each time, and told when it fails otherwise than before.
void EnrichmentRefresher::Tell(const char* what, const Status& status, std::string* last) const {
  if (*last == Message(status)) return;
  *last = Message(status);
  logger_.Error(what, {{"error", *last}});
}

Status EnrichmentRefresher::RefreshAssets() {
  const auto stub = dv1::DirectoryService::NewStub(channels_->Get("directory"));
  std::vector<dv1::Asset> assets;
  std::vector<dv1::Site> sites;
  std::string seen;
  dv1::ListAssetsRequest all_assets;
  all_assets.set_parent("tenants/-");
  YAGURA_RETURN_IF_ERROR((ForEachPage<dv1::ListAssetsRequest, dv1::ListAssetsResponse>(
      *channels_, kTimeout, all_assets,
      [&](auto* context, const auto& request, auto* response) {
        return stub->ListAssets(context, request, response);
      },
      [&](const dv1::ListAssetsResponse& response) {
        for (const auto& asset : response.assets()) {
          seen += fmt::format("{} {};", asset.name(), asset.etag());
          if (assets.size() < kMaxAssets) assets.push_back(asset);
        }
      })));
  dv1::ListSitesRequest all_sites;
  all_sites.set_parent("tenants/-");
  YAGURA_RETURN_IF_ERROR((ForEachPage<dv1::ListSitesRequest, dv1::ListSitesResponse>(
      *channels_, kTimeout, all_sites,
      [&](auto* context, const auto& request, auto* response) {
        return stub->ListSites(context, request, response);
      },
      [&](const dv1::ListSitesResponse& response) {
        for (const auto& site : response.sites()) {
          seen += fmt::format("{} {};", site.name(), site.etag());
          sites.push_back(site);
        }
      })));
  if (next_.assets != nullptr && seen == assets_seen_) return absl::OkStatus();
  assets_seen_ = std::move(seen);
  next_.assets = AssetMap::Build(assets, sites);
  changed_ = true;
  Publish();
  return absl::OkStatus();
}

void EnrichmentRefresher::Publish() {
  if (!std::exchange(changed_, false)) return;
  current_->Set(std::make_shared<const Enrichment>(next_));
}

}  // namespace yagura::ingestion
