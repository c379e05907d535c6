#include "common/eventstore/response_reader.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::eventstore {
namespace {

constexpr size_t kMaxErrorBody = 64 << 10;

Status NotFromStore(const HttpResponse& response) {
  const bool busy = response.status == 429 || response.status >= 502;
  return MakeError(busy ? absl::StatusCode::kUnavailable : absl::StatusCode::kInternal,
                   busy ? "EVENT_STORE_DOWN" : "STORE_PROTOCOL",
                   fmt::format("event store answered HTTP {}", response.status));
}

}  // namespace

std::string HeaderOf(const HttpResponse& response, const std::string& name) {
  const auto it = response.headers.find(name);
  return it == response.headers.end() ? std::string() : it->second;
}

Status ResponseReader::OnPiece(const HttpResponse& response, std::string_view piece) {
  if (response.status != 200 || response.headers.contains("x-clickhouse-exception-code")) {
    error_.append(piece.substr(0, kMaxErrorBody - std::min(kMaxErrorBody, error_.size())));
    return absl::OkStatus();
  }
  if (!finder_) finder_.emplace(HeaderOf(response, "x-clickhouse-exception-tag"));
  result_.clear();
  finder_->Feed(piece, &result_);
  return result_.empty() ? absl::OkStatus() : sink_(result_);
}

Status ResponseReader::Finish(const HttpResponse& response) {
  ended_ = true;
  const int code = ParseNumber<int>(HeaderOf(response, "x-clickhouse-exception-code")).value_or(0);
  if (response.status != 200 || code != 0) {
    if (code == 0 && ExceptionCode(error_) == 0) return NotFromStore(response);
    return FromException(code != 0 ? code : ExceptionCode(error_), error_);
  }
  if (finder_ && finder_->found()) {
    const std::string text = finder_->text();
    return FromException(ExceptionCode(text), text);
  }
  if (response.truncated) {
    return Unavailable("EVENT_STORE_DOWN", "event store broke off in the middle of its answer");
  }
  if (!finder_) return absl::OkStatus();
  result_.clear();
  finder_->Finish(&result_);
  return result_.empty() ? absl::OkStatus() : sink_(result_);
}

}  // namespace yagura::eventstore
