#include "services/ingestion/domain/enrichment/threat_lists.h"

#include <algorithm>
#include <cctype>
#include <fstream>

#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura::ingestion {
namespace {

constexpr size_t kMaxDomain = 253;
constexpr size_t kMaxLine = 4096;

bool IsHash(std::string_view text) {
  if (text.size() != 32 && text.size() != 40 && text.size() != 64) return false;
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  });
}

// With a dot, letters, digits, hyphens and underscores (bytes above ASCII, too: IDN as written),
// and a last label that is no number.
bool IsDomain(std::string_view text) {
  if (text.empty() || text.size() > kMaxDomain || text.find('.') == text.npos) return false;
  for (const std::string_view label : Split(text, '.')) {
    if (label.empty() || label.size() > 63) return false;
    for (const unsigned char c : label) {
      if (c < 0x80 && std::isalnum(c) == 0 && c != '-' && c != '_') return false;
    }
  }
  return !ParseNumber<uint64_t>(text.substr(text.rfind('.') + 1));
}

std::string_view Indicator(std::string_view line) {
  line = line.substr(0, line.find('#'));
  line = Trim(line);
  return line.substr(0, line.find_first_of(" \t,;"));
}

}  // namespace

std::string ThreatLists::AddLine(std::string_view line, uint8_t list) {
  std::string_view text = Indicator(line);
  if (text.empty()) return {};
  if (IsHash(text)) {
    hashes_.emplace(*HexDecode(ToLower(text)), list);
    return {};
  }
  if (const auto network = ParseNetwork(text)) {
    constexpr int kShortest = 8;  // of the 16 bytes; an IPv4 network has 96 bits more
    if (network->prefix < kShortest ||
        (network->prefix >= 96 && network->prefix < 96 + kShortest)) {
      return "a network of more than a 256th of all addresses is no threat";
    }
    addresses_.Add(*network, list);
    return {};
  }
  if (text.starts_with("*.")) text.remove_prefix(2);
  if (text.ends_with('.')) text.remove_suffix(1);
  if (!IsDomain(text)) return "is no address, network, domain or hash";
  domains_.emplace(ToLower(text), list);
  return {};
}

StatusOr<std::shared_ptr<const ThreatLists>> ThreatLists::Load(const std::filesystem::path& folder,
                                                               std::vector<std::string>* problems) {
  std::shared_ptr<ThreatLists> lists(new ThreatLists());
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code unreadable;  // a link in a circle, or into a folder that is closed to us
    if (at->path().extension() == ".txt" && at->is_regular_file(unreadable)) {
      files.push_back(at->path());
    }
  }
  if (error) {
    return Unavailable("THREAT_LISTS", fmt::format("{}: {}", folder.string(), error.message()));
  }
  std::sort(files.begin(), files.end());
  const auto too_many = [](const std::string& what) {
    return MakeError(absl::StatusCode::kResourceExhausted, "THREAT_LISTS", what);
  };
  if (files.size() > kMaxLists) {
    return too_many(fmt::format("{}: more than {} lists", folder.string(), kMaxLists));
  }
  for (const auto& file : files) {
    const std::string name = file.filename().string();
    const auto size = std::filesystem::file_size(file, error);
    if (error || size > kMaxFileBytes) {
      return too_many(fmt::format("{}: larger than {} bytes, or gone", name, kMaxFileBytes));
    }
    std::ifstream in(file, std::ios::binary);
    if (!in) return Unavailable("THREAT_LISTS", name + " cannot be read");
    const auto list = static_cast<uint8_t>(lists->names_.size());
    lists->names_.push_back(ToValidUtf8(file.stem().string()));
    std::string line;
    for (size_t number = 1; std::getline(in, line); ++number) {
      const std::string why = line.size() > kMaxLine ? "is too long" : lists->AddLine(line, list);
      if (!why.empty() && problems->size() < kMaxProblems) {
        problems->push_back(fmt::format("{}:{}: {}", name, number, why));
      }
      if (lists->size() > kMaxIndicators) {
        return too_many(
            fmt::format("{}:{}: more than {} indicators", name, number, kMaxIndicators));
      }
    }
    if (in.bad()) return Unavailable("THREAT_LISTS", name + " cannot be read");
  }
  return std::shared_ptr<const ThreatLists>(std::move(lists));
}

const std::string* ThreatLists::FindAddress(const AddressKey& address) const {
  const uint8_t* list = addresses_.Find(address);
  return list == nullptr ? nullptr : &names_[*list];
}

const std::string* ThreatLists::FindDomain(std::string_view host) const {
  if (domains_.empty() || host.empty() || host.size() > kMaxDomain + 1) return nullptr;
  const std::string lower = ToLower(host);
  std::string_view name = lower;
  if (name.ends_with('.')) name.remove_suffix(1);
  while (name.find('.') != name.npos) {
    const auto found = domains_.find(name);
    if (found != domains_.end()) return &names_[found->second];
    name.remove_prefix(name.find('.') + 1);
  }
  return nullptr;
}

const std::string* ThreatLists::FindHash(std::string_view hex) const {
  if (hashes_.empty() || !IsHash(hex)) return nullptr;
  const auto found = hashes_.find(*HexDecode(ToLower(hex)));
  return found == hashes_.end() ? nullptr : &names_[found->second];
}

}  // namespace yagura::ingestion
