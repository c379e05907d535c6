#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "common/eventstore/exception.h"
#include "common/eventstore/http.h"

namespace yagura::eventstore {

// Sorts the pieces of one response into result and exception.
class ResponseReader {
 public:
  using ResultSink = std::function<absl::Status(std::string_view)>;
  explicit ResponseReader(ResultSink sink) : sink_(std::move(sink)) {}

  absl::Status OnPiece(const HttpResponse& response, std::string_view piece);
  absl::Status Finish(const HttpResponse& response);

  // The store's answer was read to its end.
  bool ended() const { return ended_; }

 private:
  bool ended_ = false;
  ResultSink sink_;
  std::optional<ExceptionFinder> finder_;
  std::string result_;
  std::string error_;
};

// A value of the header in lower case; empty where there is none.
std::string HeaderOf(const HttpResponse& response, const std::string& name);

}  // namespace yagura::eventstore
