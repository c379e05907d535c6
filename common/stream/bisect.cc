#include "common/stream/bisect.h"

#include <exception>
#include <numeric>

#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura::stream {
namespace {

class Search {
 public:
  Search(const Attempt& attempt, size_t max_faults) : attempt_(attempt), max_(max_faults) {}

  Status Look(std::span<const uint32_t> pieces) {
    if (pieces.empty()) return absl::OkStatus();
    const Status status = Try(pieces);
    if (status.ok()) return status;
    if (EndsSearch(status)) return status;
    if (pieces.size() == 1) {
      if (faults_.size() == max_) {
        return MakeError(
            absl::StatusCode::kFailedPrecondition, "TOO_MANY_FAULTS",
            fmt::format("more than {} pieces fail, the last with: {}", max_, Message(status)));
      }
      faults_.push_back({pieces[0], status});
      return absl::OkStatus();
    }
    YAGURA_RETURN_IF_ERROR(Look(pieces.first(pieces.size() / 2)));
    return Look(pieces.subspan(pieces.size() / 2));
  }
  std::vector<Fault> Take() { return std::move(faults_); }

 private:
  static bool EndsSearch(const Status& status) {
    return IsPassing(status) || absl::IsAborted(status) || absl::IsCancelled(status);
  }
  Status Try(std::span<const uint32_t> pieces) const {
    try {
      return attempt_(pieces);
    } catch (const std::exception& error) {
      return Internal(error.what());
    }
  }

  const Attempt& attempt_;
  const size_t max_;
  std::vector<Fault> faults_;
};

}  // namespace

bool IsPassing(const Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status);
}

StatusOr<std::vector<Fault>> FindFaults(size_t count, const Attempt& attempt, size_t max_faults) {
  std::vector<uint32_t> pieces(count);
  std::iota(pieces.begin(), pieces.end(), 0U);
  Search search(attempt, max_faults);
  YAGURA_RETURN_IF_ERROR(search.Look(pieces));
  return search.Take();
}

std::vector<uint32_t> WithoutFaults(size_t count, const std::vector<Fault>& faults) {
  std::vector<uint32_t> pieces;
  pieces.reserve(count);
  auto fault = faults.begin();
  for (uint32_t i = 0; i < count; ++i) {
    if (fault != faults.end() && fault->index == i) {
      ++fault;
    } else {
      pieces.push_back(i);
    }
  }
  return pieces;
}

}  // namespace yagura::stream
