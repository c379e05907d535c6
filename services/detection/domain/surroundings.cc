#include "services/detection/domain/surroundings.h"

#include "common/text/text.h"
#include "services/detection/domain/impact.h"

namespace yagura::detection {
namespace {

// Of "tenants/{tenant}/findings/{finding}".
std::string_view TenantOf(std::string_view name) {
  const auto parts = Split(name, '/');
  return parts.size() > 1 && parts[0] == "tenants" ? parts[1] : std::string_view();
}

}  // namespace

void Surroundings::SetInventory(const std::string& tenant,
                                std::shared_ptr<const Inventory> inventory) {
  const std::lock_guard lock(mutex_);
  inventories_[tenant] = std::move(inventory);
}

void Surroundings::SetInventories(
    std::map<std::string, std::shared_ptr<const Inventory>> inventories) {
  const std::lock_guard lock(mutex_);
  inventories_ = {inventories.begin(), inventories.end()};
  inventories_known_ = true;
}

void Surroundings::SetKev(std::shared_ptr<const KevCatalog> kev) {
  const std::lock_guard lock(mutex_);
  kev_ = std::move(kev);
}

void Surroundings::SetLanguages(std::map<std::string, std::string> languages) {
  const std::lock_guard lock(mutex_);
  languages_ = {languages.begin(), languages.end()};
}

std::shared_ptr<const Inventory> Surroundings::InventoryOf(std::string_view tenant) const {
  const std::lock_guard lock(mutex_);
  const auto found = inventories_.find(tenant);
  if (found != inventories_.end()) return found->second;
  return inventories_known_ ? nothing_ : nullptr;
}

std::shared_ptr<const KevCatalog> Surroundings::kev() const {
  const std::lock_guard lock(mutex_);
  return kev_;
}

std::string Surroundings::LanguageOf(std::string_view tenant) const {
  const std::lock_guard lock(mutex_);
  const auto found = languages_.find(tenant);
  return found == languages_.end() || found->second != "ja" ? "en" : "ja";
}

bool Surroundings::Judge(v1::Finding& finding) const {
  const auto inventory = InventoryOf(TenantOf(finding.name()));
  const auto catalog = kev();
  const auto before = finding.impact().level();
  const bool was_judged = before != v1::IMPACT_LEVEL_UNSPECIFIED && before != v1::UNKNOWN;
  if (inventory != nullptr || !was_judged) {
    *finding.mutable_impact() = JudgeImpact(finding, {inventory.get(), catalog.get()});
  }
  finding.set_rank(RankOf(finding));
  return inventory != nullptr;
}

void Surroundings::Advise(v1::Finding& finding, bool all_languages) const {
  if (advice_ == nullptr) return;
  const std::string own = LanguageOf(TenantOf(finding.name()));
  std::vector<std::string> languages = {own};
  if (all_languages) languages.emplace_back(own == "ja" ? "en" : "ja");
  v1::Advice advice = advice_->Fill(finding, languages);
  if (!advice.texts().empty()) *finding.mutable_advice() = std::move(advice);
}

}  // namespace yagura::detection
