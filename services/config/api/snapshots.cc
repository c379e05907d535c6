#include "services/config/api/snapshots.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/config/api/common.h"
#include "services/config/domain/unified_diff.h"
#include "services/config/domain/validate.h"

namespace yagura::config {
namespace {

constexpr std::string_view kAnyDevice = "/devices/-";

// A place among those that read devices, given back at the end.
class Place {
 public:
  explicit Place(std::atomic<int>& taken) : taken_(taken), order_(++taken) {}
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() { --taken_; }
  int order() const { return order_; }

 private:
  std::atomic<int>& taken_;
  const int order_;
};

}  // namespace

SnapshotHandlers::SnapshotHandlers(std::shared_ptr<Stores> stores, std::shared_ptr<Vault> vault,
                                   std::shared_ptr<DeviceAccess> access,
                                   std::shared_ptr<const Clock> clock, int max_reading,
                                   std::chrono::milliseconds timeout)
    : stores_(std::move(stores)),
      vault_(std::move(vault)),
      access_(std::move(access)),
      clock_(std::move(clock)),
      max_reading_(max_reading),
      timeout_(timeout) {}

StatusOr<v1::Snapshot> SnapshotHandlers::Take(const rpc::Call& call,
                                              const v1::TakeSnapshotRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(const v1::Device device, stores_->devices.Get(request.parent()));
  const Place place(reading_);
  if (place.order() > max_reading_) {
    return MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_SNAPSHOTS",
                     fmt::format("{} devices are being read already", max_reading_));
  }
  const Patience patience = Patience{call.deadline(), call.cancelled()}.AtMost(timeout_);
  YAGURA_ASSIGN_OR_RETURN(const RunningConfiguration running,
                          access_->ReadRunning(device, patience));
  v1::Snapshot seed;
  seed.set_origin(v1::ON_REQUEST);
  seed.set_creator(ActorOf(call));
  return access_->Keep(call.write_context(), device, running, std::move(seed));
}

StatusOr<std::string> SnapshotHandlers::ScrubbedText(const std::string& snapshot) const {
  YAGURA_ASSIGN_OR_RETURN(const std::string text, vault_->OpenSnapshot(snapshot));
  YAGURA_ASSIGN_OR_RETURN(Scrubbed scrubbed, vault_->Scrub(TenantIdOf(snapshot), text));
  return ToValidUtf8(scrubbed.text);
}

StatusOr<v1::Snapshot> SnapshotHandlers::Get(const rpc::Call&,
                                             const v1::GetSnapshotRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(v1::Snapshot snapshot, stores_->snapshots.Get(request.name()));
  YAGURA_ASSIGN_OR_RETURN(*snapshot.mutable_text(), ScrubbedText(snapshot.name()));
  return snapshot;
}

StatusOr<v1::ListSnapshotsResponse> SnapshotHandlers::List(
    const rpc::Call&, const v1::ListSnapshotsRequest& request) {
  store::ListQuery query = QueryOf(request);
  const bool any_device = query.parent.ends_with(kAnyDevice);
  if (any_device) query.parent.resize(query.parent.size() - kAnyDevice.size());
  // Ids are ULIDs: within a device, by name is by time.
  if (query.order_by.empty()) query.order_by = any_device ? "create_time desc" : "name desc";
  YAGURA_ASSIGN_OR_RETURN(auto page, stores_->snapshots.List(query));
  v1::ListSnapshotsResponse response;
  for (v1::Snapshot& snapshot : page.items) *response.add_snapshots() = std::move(snapshot);
  response.set_next_page_token(std::move(page.next_page_token));
  return response;
}

StatusOr<v1::DiffSnapshotsResponse> SnapshotHandlers::Diff(
    const rpc::Call&, const v1::DiffSnapshotsRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(const v1::Snapshot base, stores_->snapshots.Get(request.base()));
  YAGURA_ASSIGN_OR_RETURN(const v1::Snapshot other, stores_->snapshots.Get(request.name()));
  if (base.platform() != other.platform()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "PLATFORMS_DIFFER",
                     "the snapshots are of different platforms");
  }
  YAGURA_ASSIGN_OR_RETURN(const std::string base_text, ScrubbedText(base.name()));
  YAGURA_ASSIGN_OR_RETURN(const std::string other_text, ScrubbedText(other.name()));
  UnifiedDiff diff = DiffLines(base_text, other_text, base.name(), other.name());
  v1::DiffSnapshotsResponse response;
  response.set_diff(std::move(diff.text));
  response.set_added_lines(diff.added);
  response.set_removed_lines(diff.removed);
  return response;
}

StatusOr<v1::RevealSnapshotResponse> SnapshotHandlers::Reveal(
    const rpc::Call& call, const v1::RevealSnapshotRequest& request) {
  YAGURA_RETURN_IF_ERROR(ValidateReason(request.reason()));
  YAGURA_ASSIGN_OR_RETURN(const v1::Snapshot snapshot, stores_->snapshots.Get(request.name()));
  YAGURA_ASSIGN_OR_RETURN(std::string text, vault_->OpenSnapshot(snapshot.name()));
  // On record before anybody sees it: no record, no text.
  YAGURA_RETURN_IF_ERROR(
      stores_->snapshots
          .Mutate(call.write_context(fmt::format("revealed: {}", request.reason())),
                  snapshot.name(),
                  [&](v1::Snapshot& current) {
                    *current.mutable_last_reveal_time() = ToProto(clock_->Now());
                    return absl::OkStatus();
                  })
          .status());
  v1::RevealSnapshotResponse response;
  response.set_text(std::move(text));
  return response;
}

}  // namespace yagura::config
