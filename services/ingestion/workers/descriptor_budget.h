#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "common/log/log.h"
#include "services/ingestion/workers/shares.h"

namespace yagura::ingestion {

class IngestionMetrics;

// The file descriptors that all inputs of the process may hold together (connections, followed
// files): the rest is left to Redis, the spool and gRPC's own. None of the inputs may hold more
// than is left for the others. Thread-safe; outlived by its leases.
class DescriptorBudget : public std::enable_shared_from_this<DescriptorBudget> {
 public:
  // One descriptor, given back with the object.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept
        : budget_(std::move(other.budget_)), input_(std::move(other.input_)) {}
    Lease& operator=(Lease&& other) noexcept {
      Return();
      budget_ = std::move(other.budget_);
      input_ = std::move(other.input_);
      return *this;
    }
    ~Lease() { Return(); }
    explicit operator bool() const { return budget_ != nullptr; }

   private:
    friend class DescriptorBudget;
    Lease(std::shared_ptr<DescriptorBudget> budget, std::string input)
        : budget_(std::move(budget)), input_(std::move(input)) {}
    void Return();
    std::shared_ptr<DescriptorBudget> budget_;
    std::string input_;
  };

  DescriptorBudget(uint64_t limit, std::shared_ptr<IngestionMetrics> metrics, Logger logger);
  // Three quarters of what the process may have, after it has asked for all that it is allowed.
  static uint64_t LimitOfProcess();

  // Empty where there is none for that input; that is counted, and logged once.
  Lease Take(const std::string& input);

 private:
  void Give(const std::string& input);

  const uint64_t limit_;
  const std::shared_ptr<IngestionMetrics> metrics_;
  const Logger logger_;
  Shares shares_;
  std::atomic<bool> told_{false};
};

}  // namespace yagura::ingestion
