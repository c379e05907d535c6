#include "services/ingestion/domain/enrichment/geo_database.h"

#include <maxminddb.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::ingestion {
namespace {

constexpr size_t kMaxText = 256;

std::string TextAt(MMDB_entry_s* entry, const char* const* path) {
  MMDB_entry_data_s data{};
  if (MMDB_aget_value(entry, &data, path) != MMDB_SUCCESS || !data.has_data ||
      data.type != MMDB_DATA_TYPE_UTF8_STRING) {
    return {};
  }
  return ToValidUtf8(
      std::string_view(data.utf8_string, std::min<size_t>(data.data_size, kMaxText)));
}

uint32_t NumberAt(MMDB_entry_s* entry, const char* const* path) {
  MMDB_entry_data_s data{};
  if (MMDB_aget_value(entry, &data, path) != MMDB_SUCCESS || !data.has_data) return 0;
  if (data.type == MMDB_DATA_TYPE_UINT32) return data.uint32;
  return data.type == MMDB_DATA_TYPE_UINT16 ? data.uint16 : 0;
}

constexpr std::array<const char*, 3> kCountry = {"country", "iso_code", nullptr};
constexpr std::array<const char*, 3> kRegistered = {"registered_country", "iso_code", nullptr};
constexpr std::array<const char*, 2> kNumber = {"autonomous_system_number", nullptr};
constexpr std::array<const char*, 2> kName = {"autonomous_system_organization", nullptr};

}  // namespace

struct GeoDatabase::Impl {
  MMDB_s database{};
  bool is_open = false;
  ~Impl() {
    if (is_open) MMDB_close(&database);
  }
};

GeoDatabase::GeoDatabase(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GeoDatabase::~GeoDatabase() = default;

StatusOr<std::shared_ptr<const GeoDatabase>> GeoDatabase::Open(const std::filesystem::path& file) {
  auto impl = std::make_unique<Impl>();
  const int code = MMDB_open(file.c_str(), MMDB_MODE_MMAP, &impl->database);
  if (code != MMDB_SUCCESS) {
    const std::string why = fmt::format("{}: {}", file.string(), MMDB_strerror(code));
    return code == MMDB_FILE_OPEN_ERROR || code == MMDB_IO_ERROR
               ? Unavailable("GEOIP_FILE", why)
               : MakeError(absl::StatusCode::kInvalidArgument, "GEOIP_FILE", why);
  }
  impl->is_open = true;
  return std::shared_ptr<const GeoDatabase>(new GeoDatabase(std::move(impl)));
}

void GeoDatabase::AddFacts(const AddressKey& address, GeoFacts* facts) const {
  // The library takes what maps an IPv4 address for that address, in files of either kind.
  sockaddr_in6 place{};
  place.sin6_family = AF_INET6;
  std::memcpy(&place.sin6_addr, address.data(), address.size());
  sockaddr_in place4{};
  place4.sin_family = AF_INET;
  std::memcpy(&place4.sin_addr, address.data() + 12, 4);
  const bool is_v4 = IN6_IS_ADDR_V4MAPPED(&place.sin6_addr) != 0;
  int code = MMDB_SUCCESS;
  MMDB_lookup_result_s found =
      MMDB_lookup_sockaddr(&impl_->database,
                           is_v4 ? reinterpret_cast<const sockaddr*>(&place4)
                                 : reinterpret_cast<const sockaddr*>(&place),
                           &code);
  if (code != MMDB_SUCCESS || !found.found_entry) return;
  if (facts->country.empty()) facts->country = TextAt(&found.entry, kCountry.data());
  if (facts->country.empty()) facts->country = TextAt(&found.entry, kRegistered.data());
  if (facts->as_number == 0) facts->as_number = NumberAt(&found.entry, kNumber.data());
  if (facts->as_name.empty()) facts->as_name = TextAt(&found.entry, kName.data());
}

}  // namespace yagura::ingestion
