#include <algorithm>
#include <vector>

#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"

#include "common/rpc/channels.h"
#include "common/status/public_status.h"
#include "common/status/status.h"
#include "common/text/characters.h"
#include "common/text/text.h"

namespace yagura::rpc {
namespace {

// Errors travel in the trailing metadata, of which clients take 8 KiB by default. The details are
// sent in base64, and the message once more in percent encoding.
constexpr size_t kMaxMessage = 512;
constexpr size_t kMaxDetails = 3072;

std::string Bounded(std::string_view message) {
  const std::string_view within = CharactersWithin(message, kMaxMessage);
  return std::string(within) + (within.size() < message.size() ? "…" : "");
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& inside) {
  if (inside.ok()) return grpc::Status::OK;
  const absl::Status status = WithoutInsides(inside);
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(Bounded(ToValidUtf8(Message(status))));
  // The smallest first: reason and retry delay always fit, a long BadRequest may not.
  std::vector<std::pair<std::string, std::string>> payloads;
  status.ForEachPayload([&payloads](absl::string_view url, const absl::Cord& payload) {
    payloads.emplace_back(std::string(Std(url)), std::string(payload));
  });
  std::sort(payloads.begin(), payloads.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second.size(), a.first) < std::pair(b.second.size(), b.first);
  });
  size_t total = details.ByteSizeLong();
  for (auto& [url, payload] : payloads) {
    total += url.size() + payload.size() + 8;
    if (total > kMaxDetails) break;
    auto* detail = details.add_details();
    detail->set_type_url(url);
    detail->set_value(payload);
  }
  return {static_cast<grpc::StatusCode>(status.code()), details.message(),
          details.SerializeAsString()};
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  absl::Status out(code, status.error_message());
  google::rpc::Status details;
  if (!status.error_details().empty() && details.ParseFromString(status.error_details()) &&
      details.code() == static_cast<int>(code)) {
    for (const auto& detail : details.details()) {
      out.SetPayload(detail.type_url(), absl::Cord(detail.value()));
    }
  }
  return out;
}

}  // namespace yagura::rpc
