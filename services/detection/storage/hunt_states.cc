#include "services/detection/storage/hunt_states.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"

namespace yagura::detection {
namespace {

constexpr size_t kPieceBytes = 1 << 20;
constexpr std::string_view kLifetimeSeconds = "604800";

std::string KeyOf(std::string_view result) {
  return fmt::format("y:{{{}}}:detection:hunt-state:{}", store::TenantOf(result).value_or(""),
                     store::LastId(result));
}

std::string FieldOf(std::string_view id, size_t piece) { return fmt::format("{}:{}", id, piece); }

}  // namespace

absl::StatusOr<uint32_t> HuntStates::Save(std::string_view result, std::string_view id,
                                          std::string_view bytes) const {
  const std::string key = KeyOf(result);
  uint32_t pieces = 0;
  while (!bytes.empty()) {
    const std::string field = FieldOf(id, pieces++);
    const std::string_view piece = bytes.substr(0, kPieceBytes);
    YAGURA_RETURN_IF_ERROR(state_->Command({"HSET", key, field, piece}).status());
    bytes.remove_prefix(piece.size());
  }
  YAGURA_RETURN_IF_ERROR(state_->Command({"EXPIRE", key, kLifetimeSeconds}).status());
  return pieces;
}

absl::StatusOr<std::string> HuntStates::Load(std::string_view result, std::string_view id,
                                             uint32_t pieces) const {
  const std::string key = KeyOf(result);
  std::string bytes;
  for (uint32_t i = 0; i < pieces; ++i) {
    const std::string field = FieldOf(id, i);
    YAGURA_ASSIGN_OR_RETURN(const auto reply, state_->Command({"HGET", key, field}));
    if (reply.text.empty()) return NotFound(fmt::format("piece {} of a hunt's state", i));
    bytes += reply.text;
  }
  return bytes;
}

absl::StatusOr<std::vector<std::string>> HuntStates::Pieces(std::string_view result) const {
  const std::string key = KeyOf(result);
  YAGURA_ASSIGN_OR_RETURN(const auto fields, state_->Command({"HKEYS", key}));
  std::vector<std::string> pieces;
  for (const auto& field : fields.items) pieces.push_back(field.text);
  return pieces;
}

bool HuntStates::IsOf(std::string_view piece, std::string_view id) {
  return !id.empty() && piece.substr(0, piece.find(':')) == id;
}

absl::Status HuntStates::Drop(std::string_view result,
                              const std::vector<std::string>& pieces) const {
  if (pieces.empty()) return absl::OkStatus();
  const std::string key = KeyOf(result);
  redis::Args drop = {"HDEL", key};
  drop.insert(drop.end(), pieces.begin(), pieces.end());
  return state_->Command(drop).status();
}

absl::Status HuntStates::Drop(std::string_view result, std::string_view id, uint32_t pieces) const {
  std::vector<std::string> fields;
  for (uint32_t i = 0; i < pieces; ++i) fields.push_back(FieldOf(id, i));
  return Drop(result, fields);
}

absl::Status HuntStates::DropAll(std::string_view result) const {
  return state_->Command({"DEL", KeyOf(result)}).status();
}

}  // namespace yagura::detection
