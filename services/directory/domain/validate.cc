#include "services/directory/domain/validate.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/text/characters.h"
#include "common/text/text.h"
#include "services/directory/domain/address.h"
#include "services/directory/domain/grants.h"

namespace yagura::directory {
namespace {

constexpr size_t kMaxDisplayName = 200;
constexpr size_t kMaxEmail = 254;
constexpr size_t kMaxCertificate = 300;
constexpr size_t kMaxHostName = 253;
constexpr int kMaxNetworks = 256;
constexpr int kMaxAddresses = 64;
constexpr int kMaxProducts = 64;
constexpr int kMaxRelaySites = 16;
constexpr int kMaxRetentionDays = 3650;
constexpr int kDefaultRetentionDays = 400;
constexpr size_t kMinPassword = 12;
constexpr size_t kMaxPassword = 256;

void CheckText(std::string_view text, std::string_view field, size_t longest, FieldErrors& errors,
               size_t shortest = 0) {
  const size_t length = CountCharacters(text);
  if (length < shortest) errors.Add(field, "is required");
  if (length > longest) errors.Add(field, fmt::format("has more than {} characters", longest));
  const bool control = std::any_of(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
  });
  if (control) errors.Add(field, "has control characters");
}

// As ingestion tells a certificate; nothing where the text names none.
std::optional<std::string> CanonicalCertificate(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || text.size() > kMaxCertificate) return std::nullopt;
  const std::string kind = ToLower(text.substr(0, colon));
  const std::string_view name = text.substr(colon + 1);
  if (kind == "sha256") {
    std::string digits = ToLower(name);
    std::erase(digits, ':');
    if (digits.size() != 64 || !HexDecode(digits)) return std::nullopt;
    return "sha256:" + digits;
  }
  if (kind == "ip") {
    const auto address = CanonicalAddress(name);
    return address ? std::optional("ip:" + *address) : std::nullopt;
  }
  const bool visible =
      std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (kind == "cn") {
    const bool control = std::any_of(name.begin(), name.end(), [](char c) {
      return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
    const bool usable = !name.empty() && !control && Trim(name).size() == name.size();
    return usable ? std::optional("cn:" + std::string(name)) : std::nullopt;
  }
  if (name.empty() || !visible) return std::nullopt;
  if (kind == "dns" || kind == "email") return kind + ":" + ToLower(name);
  if (kind == "uri") return "uri:" + std::string(name);
  return std::nullopt;
}

bool IsTimeZone(std::string_view name) {
  const bool plain = !name.empty() && name.size() <= 64 && name.front() != '/' &&
                     name.find("..") == std::string_view::npos &&
                     std::all_of(name.begin(), name.end(), [](char c) {
                       return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '/' ||
                              c == '_' || c == '-' || c == '+';
                     });
  if (!plain) return false;
  if (name == "UTC") return true;
  std::error_code error;
  return std::filesystem::is_regular_file(
      std::filesystem::path("/usr/share/zoneinfo") / std::string(name), error);
}

void CheckTimeZone(std::string_view name, FieldErrors& errors) {
  if (!name.empty() && !IsTimeZone(name)) errors.Add("time_zone", "is no IANA time zone");
}

void CheckLanguage(std::string_view language, FieldErrors& errors) {
  if (!language.empty() && language != "ja" && language != "en") {
    errors.Add("language", "must be \"ja\" or \"en\"");
  }
}

void CheckId(std::string_view id, std::string_view field, FieldErrors& errors) {
  if (!id.empty() && !store::IsValidId(id)) errors.Add(field, "is no id");
}

bool IsEmail(std::string_view text) {
  const size_t at = text.find('@');
  if (at == std::string_view::npos || at == 0 || at + 1 == text.size()) return false;
  if (text.find('@', at + 1) != std::string_view::npos || text.size() > kMaxEmail) return false;
  // It ends up in mail headers: nothing that could end one.
  return std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c < 0x7f &&
           std::string_view("<>()[],;:\\\"").find(c) == std::string_view::npos;
  });
}

bool IsHostName(std::string_view text) {
  return text.size() <= kMaxHostName && std::all_of(text.begin(), text.end(), [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' ||
                  c == '_';
         });
}

template <typename Enum>
void CheckEnum(bool known, Enum value, std::string_view field, FieldErrors& errors) {
  if (!known) errors.Add(field, fmt::format("{} is no value of it", static_cast<int>(value)));
}

}  // namespace

absl::Status Normalize(v1::Tenant& tenant) {
  FieldErrors errors;
  CheckText(tenant.display_name(), "display_name", kMaxDisplayName, errors, 1);
  CheckEnum(v1::TenantState_IsValid(tenant.state()), tenant.state(), "state", errors);
  CheckTimeZone(tenant.time_zone(), errors);
  CheckLanguage(tenant.language(), errors);
  if (tenant.retention_days() < 0 || tenant.retention_days() > kMaxRetentionDays) {
    errors.Add("retention_days", fmt::format("must be 1 to {}", kMaxRetentionDays));
  }
  if (tenant.flow_retention_days() < 0 || tenant.flow_retention_days() > kMaxRetentionDays) {
    errors.Add("flow_retention_days", fmt::format("must be 1 to {}", kMaxRetentionDays));
  }
  if (tenant.state() == v1::TENANT_STATE_UNSPECIFIED) tenant.set_state(v1::TENANT_ACTIVE);
  if (tenant.time_zone().empty()) tenant.set_time_zone("Asia/Tokyo");
  if (tenant.language().empty()) tenant.set_language("ja");
  if (tenant.retention_days() == 0) tenant.set_retention_days(kDefaultRetentionDays);
  if (tenant.flow_retention_days() == 0) tenant.set_flow_retention_days(kDefaultRetentionDays);
  return errors.ToStatus();
}

absl::Status Normalize(v1::Site& site) {
  FieldErrors errors;
  CheckText(site.display_name(), "display_name", kMaxDisplayName, errors, 1);
  CheckText(site.location(), "location", 500, errors);
  CheckTimeZone(site.time_zone(), errors);
  if (site.networks_size() > kMaxNetworks) {
    errors.Add("networks", fmt::format("at most {}", kMaxNetworks));
    return errors.ToStatus();
  }
  for (int i = 0; i < site.networks_size(); ++i) {
    auto canonical = CanonicalNetwork(site.networks(i));
    if (canonical) {
      site.set_networks(i, *std::move(canonical));
    } else {
      errors.Add(fmt::format("networks[{}]", i), "is no network in CIDR notation");
    }
  }
  return errors.ToStatus();
}

absl::Status Normalize(v1::User& user) {
  FieldErrors errors;
  user.set_email(ToLower(Trim(user.email())));
  if (!IsEmail(user.email())) errors.Add("email", "is no mail address");
  CheckText(user.display_name(), "display_name", kMaxDisplayName, errors);
  CheckLanguage(user.language(), errors);
  CheckGrants(user.roles(), *store::TenantOf(user.name()), "roles", errors);
  if (user.state() == v1::USER_STATE_UNSPECIFIED) user.set_state(v1::USER_ACTIVE);
  return errors.ToStatus();
}

absl::Status Normalize(v1::ApiKey& key) {
  FieldErrors errors;
  CheckText(key.display_name(), "display_name", kMaxDisplayName, errors);
  const std::string_view tenant = *store::TenantOf(key.name());
  CheckGrants(key.roles(), tenant, "roles", errors);
  if (key.relay_sites_size() > kMaxRelaySites) {
    errors.Add("relay_sites", fmt::format("at most {}", kMaxRelaySites));
  }
  static const store::NamePattern kSite("tenants/{tenant}/sites/{site}");
  for (int i = 0; i < std::min(key.relay_sites_size(), kMaxRelaySites); ++i) {
    const std::string path = fmt::format("relay_sites[{}]", i);
    const auto ids = kSite.Match(key.relay_sites(i));
    if (!ids) {
      errors.Add(path, "must be \"tenants/{tenant}/sites/{site}\"");
    } else if (tenant != kProvider && ids->front() != tenant) {
      errors.Add(path, "is a site of another tenant");
    }
  }
  return errors.ToStatus();
}

absl::Status Normalize(v1::Asset& asset) {
  FieldErrors errors;
  CheckText(asset.display_name(), "display_name", kMaxDisplayName, errors);
  asset.set_host_name(ToLower(Trim(asset.host_name())));
  if (!IsHostName(asset.host_name())) errors.Add("host_name", "is no host name");
  CheckText(asset.owner(), "owner", 200, errors);
  CheckText(asset.note(), "note", 2000, errors);
  CheckEnum(v1::Exposure_IsValid(asset.exposure()), asset.exposure(), "exposure", errors);
  CheckEnum(v1::Criticality_IsValid(asset.criticality()), asset.criticality(), "criticality",
            errors);
  if (asset.addresses_size() > kMaxAddresses) {
    errors.Add("addresses", fmt::format("at most {}", kMaxAddresses));
  }
  if (asset.products_size() > kMaxProducts) {
    errors.Add("products", fmt::format("at most {}", kMaxProducts));
  }
  if (!errors.empty()) return errors.ToStatus();
  for (int i = 0; i < asset.addresses_size(); ++i) {
    auto& address = *asset.mutable_addresses(i);
    CheckId(address.site(), fmt::format("addresses[{}].site", i), errors);
    auto canonical = CanonicalAddress(address.address());
    if (canonical) {
      address.set_address(*std::move(canonical));
    } else {
      errors.Add(fmt::format("addresses[{}].address", i), "is no IP address or network");
    }
  }
  for (int i = 0; i < asset.products_size(); ++i) {
    CheckText(asset.products(i), fmt::format("products[{}]", i), 200, errors, 1);
  }
  return errors.ToStatus();
}

absl::Status Normalize(v1::Source& source) {
  static constexpr std::array<std::string_view, 4> kCharsets = {"utf-8", "shift_jis", "euc-jp",
                                                                "iso-8859-1"};
  FieldErrors errors;
  CheckText(source.display_name(), "display_name", kMaxDisplayName, errors);
  auto& match = *source.mutable_match();
  if (match.listener().empty() && match.cidr().empty() && match.credential().empty() &&
      match.certificate().empty() && match.device_serial().empty() &&
      match.virtual_context().empty()) {
    errors.Add("match", "needs at least one criterion");
  }
  CheckText(match.listener(), "match.listener", 64, errors);
  CheckText(match.credential(), "match.credential", 500, errors);
  CheckText(match.device_serial(), "match.device_serial", 64, errors);
  CheckText(match.virtual_context(), "match.virtual_context", 64, errors);
  if (!match.certificate().empty()) {
    auto canonical = CanonicalCertificate(match.certificate());
    if (canonical) {
      match.set_certificate(*std::move(canonical));
    } else {
      errors.Add(
          "match.certificate",
          "must be sha256: with 64 hex digits, or dns:, ip:, uri:, email: or cn: with a name");
    }
  }
  if (!match.cidr().empty()) {
    auto canonical = CanonicalNetwork(match.cidr());
    if (canonical) {
      match.set_cidr(*std::move(canonical));
    } else {
      errors.Add("match.cidr", "is no network in CIDR notation");
    }
  }
  CheckId(source.site(), "site", errors);
  CheckId(source.device(), "device", errors);
  CheckTimeZone(source.time_zone(), errors);
  if (source.parser().empty()) source.set_parser("auto");
  if (source.charset().empty()) source.set_charset("utf-8");
  // Which parsers there are is ingestion's to know: content/parsers may have any.
  if (source.parser().size() > 64 ||
      !std::all_of(source.parser().begin(), source.parser().end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
      })) {
    errors.Add("parser", "must be at most 64 of a-z, 0-9 and _");
  }
  if (std::find(kCharsets.begin(), kCharsets.end(), source.charset()) == kCharsets.end()) {
    errors.Add("charset", fmt::format("must be one of {}", Join(kCharsets, ", ")));
  }
  if (source.has_silence_limit() && FromProto(source.silence_limit()) < std::chrono::minutes(1)) {
    errors.Add("silence_limit", "must be a minute at least");
  }
  return errors.ToStatus();
}

std::set<std::string> SitesOf(const v1::Asset& asset) {
  std::set<std::string> sites;
  for (const auto& address : asset.addresses()) {
    if (!address.site().empty()) sites.insert(address.site());
  }
  return sites;
}

std::set<std::string> SitesOf(const v1::Source& source) {
  if (source.site().empty()) return {};
  return {source.site()};
}

absl::Status CheckPassword(std::string_view password, const v1::User& user) {
  if (password.size() < kMinPassword || password.size() > kMaxPassword) {
    return InvalidField("password",
                        fmt::format("must have {} to {} bytes", kMinPassword, kMaxPassword));
  }
  if (EqualsIgnoreCase(password, store::LastId(user.name())) ||
      EqualsIgnoreCase(password, user.email())) {
    return InvalidField("password", "must not be the user's own name");
  }
  return absl::OkStatus();
}

}  // namespace yagura::directory
