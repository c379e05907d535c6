#include "services/ingestion/workers/source_refresher.h"

#include <condition_variable>
#include <fstream>
#include <sstream>

#include "grpcpp/channel.h"

#include "common/rpc/channels.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/ingestion/workers/current_sources.h"
#include "services/ingestion/workers/directory_pages.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"

namespace yagura::ingestion {
namespace {

namespace dv1 = directory::v1;

constexpr auto kTimeout = std::chrono::seconds(10);
// At the start, when the directory may be about to come up.
constexpr auto kFirstInterval = std::chrono::milliseconds(200);

// A carrier of no key: relays were read, and may be none.
constexpr std::string_view kRelaysRead = "tenants/-/apiKeys/-";

// Whether the zones were read when the tenant or the site was there already.
bool KnowsZone(const FallbackZones& zones, const dv1::Source& source) {
  if (!source.time_zone().empty()) return true;
  const auto parts = Split(source.name(), '/');  // "tenants/{tenant}/sources/{source}"
  if (parts.size() != 4) return false;
  if (source.site().empty()) return zones.by_tenant.contains(std::string(parts[1]));
  return zones.by_site.contains(fmt::format("tenants/{}/sites/{}", parts[1], source.site()));
}

}  // namespace

SourceRefresher::SourceRefresher(Options options, std::shared_ptr<rpc::Channels> channels,
                                 std::shared_ptr<CurrentSources> sources, Logger logger)
    : options_(std::move(options)),
      channels_(std::move(channels)),
      sources_(std::move(sources)),
      logger_(std::move(logger)) {}

SourceRefresher::~SourceRefresher() { Stop(); }

void SourceRefresher::Start() {
  LoadCache();
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void SourceRefresher::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

Status SourceRefresher::health() const {
  const std::lock_guard lock(mutex_);
  return health_;
}

void SourceRefresher::Run(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  bool asked = false;
  while (!stop.stop_requested()) {
    const Status status = Refresh();
    asked = asked || status.ok();
    {
      const std::lock_guard lock(mutex_);
      if (health_.ok() && !status.ok() && asked) {
        logger_.Warning("the directory does not answer; what it said last stays in force",
                        {{"error", Message(status)}});
      }
      health_ = status;
    }
    std::unique_lock lock(mutex);
    const std::chrono::milliseconds pause = asked ? options_.interval : kFirstInterval;
    changed.wait_for(lock, stop, pause, [] { return false; });
  }
}

Status SourceRefresher::Refresh() {
  auto sources = ListSources();
  if (!sources.ok()) return Annotate(sources.status(), "sources");
  lists_.sources = *std::move(sources);
  auto zones = ListZones();
  const Status zones_read = Annotate(zones.status(), "time zones");
  if (zones.ok()) lists_.zones = *std::move(zones);
  // Times would be misread: so lines rather wait, and those of new tenants and sites alone where
  // the zones of others are known.
  if (!lists_.zones) return zones_read;
  if (!zones_read.ok()) {
    std::erase_if(lists_.sources,
                  [this](const dv1::Source& source) { return !KnowsZone(*lists_.zones, source); });
  }
  auto relays = ListRelays();
  const Status relays_read = Annotate(relays.status(), "API keys of relays");
  if (relays.ok()) lists_.relays = *std::move(relays);
  Use(lists_);
  return zones_read.ok() ? relays_read : zones_read;
}

StatusOr<std::vector<dv1::Source>> SourceRefresher::ListSources() {
  const auto stub = dv1::DirectoryService::NewStub(channels_->Get("directory"));
  dv1::ListSourcesRequest all;
  all.set_parent("tenants/-");
  std::vector<dv1::Source> sources;
  YAGURA_RETURN_IF_ERROR((ForEachPage<dv1::ListSourcesRequest, dv1::ListSourcesResponse>(
      *channels_, kTimeout, all,
      [&](auto* context, const auto& request, auto* response) {
        return stub->ListSources(context, request, response);
      },
      [&](const dv1::ListSourcesResponse& response) {
        sources.insert(sources.end(), response.sources().begin(), response.sources().end());
      })));
  return sources;
}

StatusOr<FallbackZones> SourceRefresher::ListZones() {
  const auto stub = dv1::DirectoryService::NewStub(channels_->Get("directory"));
  FallbackZones zones;
  YAGURA_RETURN_IF_ERROR((ForEachPage<dv1::ListTenantsRequest, dv1::ListTenantsResponse>(
      *channels_, kTimeout, {},
      [&](auto* context, const auto& request, auto* response) {
        return stub->ListTenants(context, request, response);
      },
      [&](const dv1::ListTenantsResponse& response) {
        for (const auto& tenant : response.tenants()) {
          const auto parts = Split(tenant.name(), '/');
          if (parts.size() == 2) zones.by_tenant[std::string(parts[1])] = tenant.time_zone();
        }
      })));
  dv1::ListSitesRequest sites;
  sites.set_parent("tenants/-");
  YAGURA_RETURN_IF_ERROR((ForEachPage<dv1::ListSitesRequest, dv1::ListSitesResponse>(
      *channels_, kTimeout, sites,
      [&](auto* context, const auto& request, auto* response) {
        return stub->ListSites(context, request, response);
      },
      [&](const dv1::ListSitesResponse& response) {
        for (const auto& site : response.sites()) zones.by_site[site.name()] = site.time_zone();
      })));
  return zones;
}

StatusOr<RelaySites> SourceRefresher::ListRelays() {
  const auto stub = dv1::DirectoryService::NewStub(channels_->Get("directory"));
  dv1::ListApiKeysRequest keys;
  keys.set_parent("tenants/-");
  keys.set_filter("relay_sites:*");  // most keys are no relay's
  RelaySites relays;
  YAGURA_RETURN_IF_ERROR((ForEachPage<dv1::ListApiKeysRequest, dv1::ListApiKeysResponse>(
      *channels_, kTimeout, keys,
      [&](auto* context, const auto& request, auto* response) {
        return stub->ListApiKeys(context, request, response);
      },
      [&](const dv1::ListApiKeysResponse& response) {
        for (const auto& key : response.api_keys()) {
          if (key.relay_sites().empty()) continue;
          relays[key.name()] = {key.relay_sites().begin(), key.relay_sites().end()};
        }
      })));
  return relays;
}

void SourceRefresher::Use(const Lists& lists) {
  const auto& [sources, known_zones, relays] = lists;
  const FallbackZones zones = known_zones.value_or(FallbackZones());
  dv1::ListSourcesResponse stored;
  for (const dv1::Source& source : sources) *stored.add_sources() = source;
  // Zones and relays go along as sources that map nothing, so that the cache is one message.
  for (const auto& [tenant, zone] : zones.by_tenant) {
    dv1::Source* carrier = stored.add_sources();
    carrier->set_name("tenants/" + tenant);
    carrier->set_time_zone(zone);
  }
  for (const auto& [site, zone] : zones.by_site) {
    dv1::Source* carrier = stored.add_sources();
    carrier->set_name(site);
    carrier->set_time_zone(zone);
  }
  if (relays) stored.add_sources()->set_name(std::string(kRelaysRead));
  for (const auto& [key, relayed] : relays.value_or(RelaySites())) {
    for (const std::string& site : relayed) {
      dv1::Source* carrier = stored.add_sources();
      carrier->set_name(key);
      carrier->set_site(site);
    }
  }
  std::string bytes = stored.SerializeAsString();
  if (sources_->Get() != nullptr && bytes == last_) return;
  std::vector<std::string> problems;
  sources_->Set(SourceMap::Build(sources, zones, &problems, options_.parsers.get(), relays));
  const std::string told = Join(problems, "; ");
  if (!told.empty() && told != last_problems_) {
    logger_.Warning("sources that are not used as they stand", {{"sources", told}});
  }
  last_problems_ = told;
  last_ = std::move(bytes);
  std::error_code error;
  std::filesystem::create_directories(options_.cache_file.parent_path(), error);
  const auto fresh = options_.cache_file.string() + ".new";
  std::ofstream out(fresh, std::ios::binary | std::ios::trunc);
  out << last_;
  out.close();
  if (out) std::filesystem::rename(fresh, options_.cache_file, error);
}

void SourceRefresher::LoadCache() {
  std::ifstream in(options_.cache_file, std::ios::binary);
  if (!in) return;
  std::stringstream bytes;
  bytes << in.rdbuf();
  dv1::ListSourcesResponse stored;
  if (!stored.ParseFromString(bytes.str())) return;
  auto& [sources, kept_zones, relays] = lists_;
  FallbackZones zones;
  for (const dv1::Source& source : stored.sources()) {
    const auto parts = Split(source.name(), '/');
    if (parts.size() == 2) {
      zones.by_tenant[std::string(parts[1])] = source.time_zone();
    } else if (parts.size() == 4 && parts[2] == "sites") {
      zones.by_site[source.name()] = source.time_zone();
    } else if (parts.size() == 4 && parts[2] == "apiKeys") {
      if (!relays) relays.emplace();
      if (source.name() != kRelaysRead) (*relays)[source.name()].insert(source.site());
    } else {
      sources.push_back(source);
    }
  }
  kept_zones = std::move(zones);
  Use(lists_);
}

}  // namespace yagura::ingestion
