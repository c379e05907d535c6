#include "common/eventstore/exception.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::eventstore {
namespace {

constexpr size_t kMaxText = 600;
constexpr size_t kMaxHeldException = 256 << 10;
constexpr std::string_view kPrefix = "Code: ";

struct Mapping {
  absl::StatusCode code;
  std::string_view reason;
};

// Numbers of ClickHouse's ErrorCodes.cpp.
Mapping MappingOf(int code) {
  switch (code) {
    case 60:  // UNKNOWN_TABLE
    case 81:  // UNKNOWN_DATABASE
      return {absl::StatusCode::kFailedPrecondition, "STORE_SCHEMA"};
    case 159:  // TIMEOUT_EXCEEDED
    case 160:  // TOO_SLOW
      return {absl::StatusCode::kDeadlineExceeded, "QUERY_TIMEOUT"};
    case 158:  // TOO_MANY_ROWS
    case 191:  // SET_SIZE_LIMIT_EXCEEDED
    case 241:  // MEMORY_LIMIT_EXCEEDED
    case 307:  // TOO_MANY_BYTES
    case 396:  // TOO_MANY_ROWS_OR_BYTES
      return {absl::StatusCode::kResourceExhausted, "QUERY_TOO_LARGE"};
    case 202:  // TOO_MANY_SIMULTANEOUS_QUERIES
    case 252:  // TOO_MANY_PARTS
    case 439:  // CANNOT_SCHEDULE_TASK
    case 745:  // SERVER_OVERLOADED
      return {absl::StatusCode::kUnavailable, "STORE_OVERLOADED"};
    case 209:  // SOCKET_TIMEOUT
    case 210:  // NETWORK_ERROR
    case 236:  // ABORTED
    case 242:  // TABLE_IS_READ_ONLY
    case 243:  // NOT_ENOUGH_SPACE
    case 225:  // NO_ZOOKEEPER
    case 279:  // ALL_CONNECTION_TRIES_FAILED
    case 289:  // REPLICA_IS_NOT_IN_QUORUM
    case 999:  // KEEPER_EXCEPTION
      return {absl::StatusCode::kUnavailable, "EVENT_STORE_DOWN"};
    case 285:  // TOO_FEW_LIVE_REPLICAS
    case 286:  // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
    case 319:  // UNKNOWN_STATUS_OF_INSERT: the quorum may come, or not
      return {absl::StatusCode::kUnavailable, "STORE_QUORUM"};
    case 517:  // CANNOT_ASSIGN_ALTER: another one is under way
      return {absl::StatusCode::kUnavailable, "STORE_SCHEMA_CHANGES"};
    case 193:  // WRONG_PASSWORD
    case 194:  // REQUIRED_PASSWORD
    case 497:  // ACCESS_DENIED
    case 516:  // AUTHENTICATION_FAILED
      return {absl::StatusCode::kPermissionDenied, "STORE_ACCESS_DENIED"};
    case 394:  // QUERY_WAS_CANCELLED
      return {absl::StatusCode::kCancelled, "QUERY_CANCELLED"};
    default:
      return {absl::StatusCode::kInternal, "STORE_ERROR"};
  }
}

}  // namespace

absl::Status FromException(int code, std::string_view text) {
  const Mapping mapping = MappingOf(code);
  ErrorMetadata metadata;
  if (code != 0) metadata["clickhouse_code"] = std::to_string(code);
  return MakeError(mapping.code, mapping.reason,
                   fmt::format("event store: {}", ToValidUtf8(Trim(text.substr(0, kMaxText)))),
                   metadata);
}

Blame BlameOf(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kUnavailable) return Blame::kQuery;
  const ErrorMetadata metadata = GetErrorMetadata(status);
  const auto it = metadata.find("clickhouse_code");
  switch (it == metadata.end() ? 0 : ParseNumber<int>(it->second).value_or(0)) {
    case 517:  // of all of them
      return Blame::kQuery;
    case 252:  // TOO_MANY_PARTS: of a table
    case 285:
    case 286:
    case 319:
      return Blame::kSomebody;
    default:
      return Blame::kServer;
  }
}

bool WasRefused(const absl::Status& status) {
  const ErrorMetadata metadata = GetErrorMetadata(status);
  const auto it = metadata.find("clickhouse_code");
  if (it == metadata.end()) return false;
  // TOO_MANY_SIMULTANEOUS_QUERIES, TABLE_IS_READ_ONLY, SERVER_OVERLOADED
  return it->second == "202" || it->second == "242" || it->second == "745";
}

int ExceptionCode(std::string_view text) {
  const size_t at = text.find(kPrefix);
  if (at == std::string_view::npos) return 0;
  text.remove_prefix(at + kPrefix.size());
  return ParseNumber<int>(text.substr(0, text.find('.'))).value_or(0);
}

ExceptionFinder::ExceptionFinder(std::string_view tag)
    : marker_(fmt::format("\r\n__exception__\r\n{}\r\n", tag)) {}

void ExceptionFinder::Feed(std::string_view bytes, std::string* result) {
  if (found_) {
    held_.append(bytes.substr(0, kMaxHeldException - std::min(kMaxHeldException, held_.size())));
    return;
  }
  held_.append(bytes);
  const size_t at = held_.find(marker_);
  if (at != std::string::npos) {
    result->append(held_, 0, at);
    held_.erase(0, at + marker_.size());
    found_ = true;
    return;
  }
  const size_t keep = std::min(held_.size(), marker_.size() - 1);
  // Only a carriage return can begin the marker.
  size_t begin = held_.find('\r', held_.size() - keep);
  if (begin == std::string::npos) begin = held_.size();
  result->append(held_, 0, begin);
  held_.erase(0, begin);
}

void ExceptionFinder::Finish(std::string* result) {
  if (found_) return;
  result->append(held_);
  held_.clear();
}

std::string ExceptionFinder::text() const {
  const size_t end = held_.rfind("\r\n__exception__");
  std::string_view text = std::string_view(held_).substr(0, end);
  if (const size_t size_line = text.rfind('\n'); size_line != std::string_view::npos) {
    text = text.substr(0, size_line);
  }
  return std::string(text);
}

std::string FramedException(std::string_view tag, std::string_view text) {
  return fmt::format("\r\n__exception__\r\n{}\r\n{}\n{} {}\r\n__exception__\r\n", tag, text,
                     text.size() + 1, tag);
}

}  // namespace yagura::eventstore
