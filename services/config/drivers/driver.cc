#include "services/config/drivers/driver.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::config {

DriverSet::DriverSet(std::vector<std::unique_ptr<Driver>> drivers) : drivers_(std::move(drivers)) {}

StatusOr<const Driver*> DriverSet::Find(std::string_view platform, std::string_view field) const {
  std::vector<std::string> known;
  for (const auto& driver : drivers_) {
    if (driver->platform() == platform) return driver.get();
    known.emplace_back(driver->platform());
  }
  return InvalidField(field, fmt::format("must be one of: {}", Join(known, ", ")));
}

Status CheckDevicePath(std::string_view field, std::string_view path) {
  const bool plain = std::all_of(path.begin(), path.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
           c == '.' || c == '_' || c == '-';
  });
  if (!plain || path.size() < 2 || path.size() > 200 || path.front() != '/' || path.back() == '/' ||
      path.find("..") != std::string_view::npos) {
    return InvalidField(field, "must be an absolute path of letters, digits, '.', '_', '-'");
  }
  return absl::OkStatus();
}

}  // namespace yagura::config
