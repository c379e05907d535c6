#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "common/text/text.h"
#include "services/detection/domain/advice.h"
#include "services/detection/domain/inventory.h"
#include "services/detection/domain/kev.h"
#include "yagura/detection/v1/finding.pb.h"

namespace yagura::detection {

// What is known of tenants and attacks beside events and rules, as it stands: assets, languages,
// CISA's catalogue, advice. Findings are judged by it; nobody is asked for them. Thread-safe.
class Surroundings {
 public:
  // `advice` may be null: there is none.
  explicit Surroundings(std::shared_ptr<const AdviceBook> advice = nullptr)
      : advice_(std::move(advice)) {}

  void SetInventory(const std::string& tenant, std::shared_ptr<const Inventory> inventory);
  // In place of all that were set: a tenant that is not among them has no assets.
  void SetInventories(std::map<std::string, std::shared_ptr<const Inventory>> inventories);
  void SetKev(std::shared_ptr<const KevCatalog> kev);
  void SetLanguages(std::map<std::string, std::string> languages);

  // Null while inventories have not been read at all.
  std::shared_ptr<const Inventory> InventoryOf(std::string_view tenant) const;
  std::shared_ptr<const KevCatalog> kev() const;
  // "ja" or "en"; "en" where it is not known.
  std::string LanguageOf(std::string_view tenant) const;

  // Judges a finding before it is kept: impact and rank. False while inventories have not been
  // read: what was found out about it before stays, else it is UNKNOWN; it is to be judged again.
  bool Judge(v1::Finding& finding) const;
  // Adds advice: in the tenant's language, or in all of them with that one first.
  void Advise(v1::Finding& finding, bool all_languages) const;

 private:
  const std::shared_ptr<const AdviceBook> advice_;
  mutable std::mutex mutex_;
  bool inventories_known_ = false;
  std::map<std::string, std::shared_ptr<const Inventory>, std::less<>> inventories_;
  std::map<std::string, std::string, std::less<>> languages_;
  std::shared_ptr<const KevCatalog> kev_;
  const std::shared_ptr<const Inventory> nothing_ = Inventory::Build({}, true);
};

}  // namespace yagura::detection
