#include "services/ingestion/workers/descriptor_budget.h"

#include <sys/resource.h>

#include "services/ingestion/ingestion_metrics.h"

namespace yagura::ingestion {

DescriptorBudget::DescriptorBudget(uint64_t limit, std::shared_ptr<IngestionMetrics> metrics,
                                   Logger logger)
    : limit_(limit), metrics_(std::move(metrics)), logger_(std::move(logger)), shares_(limit) {
  metrics_->SetDescriptors(0, limit_);
}

uint64_t DescriptorBudget::LimitOfProcess() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return 768;
  const rlimit all{files.rlim_max, files.rlim_max};
  if (::setrlimit(RLIMIT_NOFILE, &all) == 0) files = all;
  return files.rlim_cur / 4 * 3;
}

DescriptorBudget::Lease DescriptorBudget::Take(const std::string& input) {
  if (shares_.Take(input, 1)) {
    metrics_->SetDescriptors(shares_.taken(), limit_);
    return {shared_from_this(), input};
  }
  metrics_->CountDescriptorRefusal(input);
  if (!told_.exchange(true)) {
    logger_.Error("inputs have no more file descriptors; raise the limit of the process (nofile)",
                  {{"first_refused", input}, {"limit_of_inputs", limit_}});
  }
  return {};
}

void DescriptorBudget::Give(const std::string& input) {
  shares_.Give(input, 1);
  metrics_->SetDescriptors(shares_.taken(), limit_);
}

void DescriptorBudget::Lease::Return() {
  if (budget_ != nullptr) budget_->Give(input_);
  budget_ = nullptr;
}

}  // namespace yagura::ingestion
