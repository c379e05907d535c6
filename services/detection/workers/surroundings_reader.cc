#include "services/detection/workers/surroundings_reader.h"

#include <fstream>
#include <map>
#include <vector>

#include "fmt/format.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"

#include "common/rpc/channels.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"

namespace yagura::detection {
namespace {

using directory::v1::DirectoryService;

constexpr std::chrono::seconds kTimeout{30};
constexpr std::chrono::milliseconds kPause{200};  // so that an import of many is one reading
constexpr int kPageSize = 1000;
constexpr size_t kMaxAssetsOfTenant = 20'000;
constexpr size_t kMaxAssets = 500'000;

// Gives `take` every page of one of directory's lists.
template <typename Request, typename Response, typename Take>
absl::Status ForEachPage(rpc::Channels& channels, const std::string& parent,
                         grpc::Status (DirectoryService::Stub::*method)(grpc::ClientContext*,
                                                                        const Request&, Response*),
                         Request request, const Take& take) {
  const auto stub = DirectoryService::NewStub(channels.Get("directory"));
  request.set_page_size(kPageSize);
  do {
    grpc::ClientContext context;
    channels.PrepareAs(context, parent, kTimeout);
    Response response;
    YAGURA_RETURN_IF_ERROR(rpc::FromGrpc(((*stub).*method)(&context, request, &response)));
    take(response);
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

}  // namespace

void SurroundingsReader::Wanted::Add(const Wanted& more) {
  all = all || more.all;
  languages = languages || more.languages;
  tenants.insert(more.tenants.begin(), more.tenants.end());
}

SurroundingsReader::SurroundingsReader(Options options, std::shared_ptr<rpc::Channels> channels,
                                       std::shared_ptr<Surroundings> surroundings, Logger logger)
    : options_(std::move(options)),
      channels_(std::move(channels)),
      surroundings_(std::move(surroundings)),
      logger_(std::move(logger)) {}

SurroundingsReader::~SurroundingsReader() { Stop(); }

void SurroundingsReader::Start() {
  ReadKev();
  thread_ = std::thread([this] { Work(); });
}

void SurroundingsReader::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void SurroundingsReader::OnRecord(const audit::v1::Record& record) {
  const bool asset = record.kind() == "directory.asset";
  if (!asset && record.kind() != "directory.tenant") return;
  {
    const std::lock_guard lock(mutex_);
    if (asset) {
      wanted_.tenants.insert(record.tenant());
    } else {
      wanted_.languages = true;
    }
  }
  wake_.notify_all();
}

void SurroundingsReader::OnReset(std::string_view tenant) {
  {
    const std::lock_guard lock(mutex_);
    wanted_.tenants.insert(std::string(tenant));
    wanted_.languages = true;
  }
  wake_.notify_all();
}

// From its first record on, everything is told.
void SurroundingsReader::OnStart(std::string_view, bool from_first) {
  if (from_first) return;
  {
    const std::lock_guard lock(mutex_);
    wanted_.all = true;
    wanted_.languages = true;
  }
  wake_.notify_all();
}

void SurroundingsReader::Work() {
  auto last_all = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    wake_.wait_for(lock, options_.look_at_files, [this] { return stopping_ || wanted_.any(); });
    wake_.wait_for(lock, kPause, [this] { return stopping_; });
    if (stopping_) return;
    if (std::chrono::steady_clock::now() - last_all >= options_.anyway) wanted_.all = true;
    Wanted wanted{false, false, {}};
    std::swap(wanted, wanted_);
    lock.unlock();
    if (wanted.all) last_all = std::chrono::steady_clock::now();
    ReadKev();
    const Status status = Read(wanted);
    const std::string error(status.ok() ? std::string() : std::string(Message(status)));
    if (!status.ok() && error != last_error_) {
      logger_.Warning("the directory cannot be asked for assets; the last ones stay",
                      {{"reason", error}});
    }
    last_error_ = error;
    if (status.ok() && options_.on_read) options_.on_read();
    lock.lock();
    if (status.ok()) continue;
    wanted_.Add(wanted);
    wake_.wait_for(lock, options_.retry, [this] { return stopping_; });
  }
}

void SurroundingsReader::ReadKev() {
  if (options_.kev_file.empty()) return;
  std::error_code error;
  const auto size = std::filesystem::file_size(options_.kev_file, error);
  const auto time = std::filesystem::last_write_time(options_.kev_file, error);
  std::string seen = fmt::format("{} {} {}", error.message(), error ? 0 : size,
                                 error ? 0 : time.time_since_epoch().count());
  if (seen == kev_seen_) return;
  kev_seen_ = std::move(seen);
  std::string json(error ? 0 : std::min<size_t>(size, KevCatalog::kMaxBytes + 1), '\0');
  std::ifstream in(options_.kev_file, std::ios::binary);
  in.read(json.data(), static_cast<std::streamsize>(json.size()));
  json.resize(static_cast<size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  auto catalog = KevCatalog::Parse(json);
  if (!catalog.ok()) {
    logger_.Error("the catalogue of exploited vulnerabilities cannot be read; the last one stays",
                  {{"file", options_.kev_file.string()}, {"reason", Message(catalog.status())}});
    return;
  }
  logger_.Info("exploited vulnerabilities read", {{"entries", (*catalog)->size()}});
  surroundings_->SetKev(*std::move(catalog));
}

absl::Status SurroundingsReader::Read(const Wanted& wanted) {
  if (wanted.all) {
    YAGURA_RETURN_IF_ERROR(ReadAssets("-"));
  } else {
    for (const std::string& tenant : wanted.tenants) {
      const Status status = ReadAssets(tenant);
      // The tenant is gone.
      if (status.code() == absl::StatusCode::kNotFound ||
          status.code() == absl::StatusCode::kPermissionDenied) {
        surroundings_->SetInventory(tenant, Inventory::Build({}, true));
      } else if (!status.ok()) {
        return status;
      }
    }
  }
  return wanted.languages ? ReadLanguages() : absl::OkStatus();
}

// "-": of all tenants.
absl::Status SurroundingsReader::ReadAssets(const std::string& parent) {
  struct Part {
    std::vector<directory::v1::Asset> assets;
    bool complete = true;
  };
  std::map<std::string, Part> parts;
  if (parent != "-") parts[parent];
  size_t total = 0;
  directory::v1::ListAssetsRequest request;
  request.set_parent("tenants/" + parent);
  YAGURA_RETURN_IF_ERROR(
      ForEachPage(*channels_, parent, &DirectoryService::Stub::ListAssets, request,
                  [&](const directory::v1::ListAssetsResponse& response) {
                    for (const auto& asset : response.assets()) {
                      Part& part = parts[std::string(store::TenantOf(asset.name()).value_or(""))];
                      part.complete = part.assets.size() < kMaxAssetsOfTenant && total < kMaxAssets;
                      if (!part.complete) continue;
                      part.assets.push_back(asset);
                      part.assets.back().clear_note();
                      part.assets.back().clear_owner();
                      ++total;
                    }
                  }));
  std::map<std::string, std::shared_ptr<const Inventory>> inventories;
  for (auto& [tenant, part] : parts) {
    inventories[tenant] = Inventory::Build(std::move(part.assets), part.complete);
  }
  if (parent == "-") {
    surroundings_->SetInventories(std::move(inventories));
  } else {
    surroundings_->SetInventory(parent, inventories[parent]);
  }
  return absl::OkStatus();
}

absl::Status SurroundingsReader::ReadLanguages() {
  std::map<std::string, std::string> languages;
  YAGURA_RETURN_IF_ERROR(ForEachPage(
      *channels_, "-", &DirectoryService::Stub::ListTenants, directory::v1::ListTenantsRequest(),
      [&](const directory::v1::ListTenantsResponse& response) {
        for (const auto& tenant : response.tenants()) {
          languages[std::string(store::LastId(tenant.name()))] = tenant.language();
        }
      }));
  surroundings_->SetLanguages(std::move(languages));
  return absl::OkStatus();
}

}  // namespace yagura::detection
