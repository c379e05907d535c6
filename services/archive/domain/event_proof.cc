#include "services/archive/domain/event_proof.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstring>
#include <tuple>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/event/batch_codec.h"
#include "services/archive/domain/row_text.h"

namespace yagura::archive {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::string_view kUnitLabel1 = "yagura.events.unit.v1\0"sv;
constexpr std::string_view kUnitLabel2 = "yagura.events.unit.v2\0"sv;
constexpr std::string_view kChainLabel = "yagura.events.chain.v1\0"sv;
constexpr std::string_view kHeadLabel1 = "yagura.events.head.v1\0"sv;
constexpr std::string_view kHeadLabel2 = "yagura.events.head.v2\0"sv;
constexpr std::string_view kHeadLabel3 = "yagura.events.head.v3\0"sv;
constexpr std::string_view kHeadLabel4 = "yagura.events.head.v4\0"sv;
constexpr int64_t kDayNanoseconds = 86'400'000'000'000;

std::string BigEndian(uint64_t number) {
  std::string bytes(8, '\0');
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(number >> (56 - 8 * i));
  return bytes;
}

std::string_view View(const Sha256Digest& digest) { return {digest.data(), digest.size()}; }

// SHA-256 of one text after another, without a new context for each. Not thread-safe.
class Hasher {
 public:
  Hasher() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {}
  // Named once: OpenSSL looks the algorithm up anew each time it is named.
  void Begin() {
    EVP_DigestInit_ex(context_.get(), begun_ ? nullptr : EVP_sha256(), nullptr);
    begun_ = true;
  }
  void Add(std::string_view bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }
  void AddNumber(uint64_t number) { Add(BigEndian(number)); }
  void AddText(std::string_view text) {
    AddNumber(text.size());
    Add(text);
  }
  Sha256Digest End() {
    Sha256Digest digest{};
    EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr);
    return digest;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
  bool begun_ = false;
};

Sha256Digest DigestWith(Hasher& hasher, std::string_view text) {
  hasher.Begin();
  hasher.Add(text);
  return hasher.End();
}

}  // namespace

Sha256Digest EventDigest(std::string_view text) {
  Hasher hasher;
  return DigestWith(hasher, text);
}

uint16_t CheckOf(const Sha256Digest& event) {
  return static_cast<uint16_t>(static_cast<uint8_t>(event[0]) << 8U |
                               static_cast<uint8_t>(event[1]));
}

uint64_t UnitNumber(std::string_view token) {
  Hasher hasher;
  hasher.Begin();
  hasher.Add(token);
  const Sha256Digest digest = hasher.End();
  uint64_t number = 0;
  std::memcpy(&number, digest.data(), sizeof(number));
  return number == 0 ? 1 : number;
}

struct UnitDigest::Impl {
  Hasher hasher;
};

UnitDigest::UnitDigest(uint32_t scheme) : impl_(std::make_unique<Impl>()) {
  impl_->hasher.Begin();
  impl_->hasher.Add(scheme > 1 ? kUnitLabel2 : kUnitLabel1);
}
UnitDigest::~UnitDigest() = default;
UnitDigest::UnitDigest(UnitDigest&&) noexcept = default;
UnitDigest& UnitDigest::operator=(UnitDigest&&) noexcept = default;
void UnitDigest::Add(const Sha256Digest& event) { impl_->hasher.Add(View(event)); }
std::string UnitDigest::Finish() { return std::string(View(impl_->hasher.End())); }

void UnitCollector::Add(const BatchRows& batch) {
  Hasher hasher;
  BatchTexts texts(batch);
  for (const uint16_t row : batch.rows()) {
    const int64_t received = batch.ReceiveTime(row);
    std::string id = batch.Id(row);
    const Sha256Digest digest = DigestWith(hasher, texts.TextOf(row, id));
    const int64_t day = std::max<int64_t>(received, 0) / kDayNanoseconds;
    items_[{batch.tenant(), day}].push_back(
        {received, std::move(id), digest, batch.RetentionExpiry(row), batch.HoldsDay(day)});
  }
}

std::vector<EventUnit> UnitCollector::Take(uint64_t number) {
  std::vector<EventUnit> units;
  for (auto& [key, items] : items_) {
    std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
      return std::tie(a.receive_time, a.id) < std::tie(b.receive_time, b.id);
    });
    EventUnit unit;
    unit.tenant = key.first;
    unit.day = key.second;
    unit.number = number;
    unit.scheme = kUnitScheme;
    unit.first_time = items.front().receive_time;
    unit.last_time = items.back().receive_time;
    unit.expires = items.front().expires;
    bool held = false;
    UnitDigest digest(kUnitScheme);
    for (const Item& item : items) {
      digest.Add(item.digest);
      unit.checks.push_back(CheckOf(item.digest));
      unit.expires = std::min(unit.expires, item.expires);
      held = held || item.held;
    }
    unit.kept = held ? kHeldUntil : unit.expires;
    unit.digest = digest.Finish();
    unit.events = items.size();
    units.push_back(std::move(unit));
  }
  items_.clear();
  return units;
}

std::string UnitChainStart(std::string_view tenant, int64_t day) {
  Hasher hasher;
  hasher.Begin();
  hasher.Add(kChainLabel);
  hasher.AddNumber(static_cast<uint64_t>(day));
  hasher.Add(tenant);
  return std::string(View(hasher.End()));
}

std::string UnitChainNext(std::string_view previous, const EventUnit& unit, uint32_t scheme) {
  Hasher hasher;
  hasher.Begin();
  hasher.Add(previous);
  hasher.AddNumber(unit.number);
  hasher.AddNumber(unit.events);
  hasher.Add(unit.digest);
  if (scheme > 1) {
    hasher.AddNumber(static_cast<uint64_t>(unit.first_time));
    hasher.AddNumber(static_cast<uint64_t>(unit.last_time));
    hasher.AddNumber(unit.expires);
  }
  if (scheme > 3) hasher.AddNumber(unit.scheme);
  return std::string(View(hasher.End()));
}

std::string EventHeadText(const v1::EventHead& head) {
  constexpr std::array kLabels = {kHeadLabel1, kHeadLabel2, kHeadLabel3, kHeadLabel4};
  static_assert(kLabels.size() == kHeadScheme);
  const bool counted = head.scheme() > 2;
  std::string text(kLabels[std::clamp(head.scheme(), 1U, kHeadScheme) - 1]);
  text.append(BigEndian(static_cast<uint64_t>(head.day())));
  text.append(BigEndian(head.tenant().size())).append(head.tenant());
  text.append(BigEndian(head.sequence()));
  text.append(BigEndian(static_cast<uint64_t>(head.units_size())));
  if (counted) text.append(BigEndian(head.event_count()));
  text.append(head.previous_hash()).append(head.hash());
  const auto sealed = FromProto(head.seal_time()).time_since_epoch().count();
  text.append(BigEndian(static_cast<uint64_t>(sealed)));
  text.append(BigEndian(static_cast<uint64_t>(head.expire_time().seconds())));
  return text;
}

std::string CreateUnits(std::string_view settings) {
  return fmt::format(
      "CREATE TABLE IF NOT EXISTS yagura.event_units (\n"
      "tenant LowCardinality(String) CODEC(ZSTD(1)),\n"
      "day Date CODEC(ZSTD(1)),\n"
      "unit UInt64,\n"
      "digest FixedString(32) CODEC(NONE),\n"
      "checks Array(UInt16) CODEC(NONE),\n"
      "first_time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),\n"
      "last_time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),\n"
      "expires DateTime('UTC') CODEC(Delta, ZSTD(1)),\n"
      "stored DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1)),\n"
      "kept DateTime('UTC') DEFAULT expires CODEC(Delta, ZSTD(1)),\n"
      "scheme UInt8 DEFAULT 1,\n"
      "INDEX stored_range stored TYPE minmax GRANULARITY 1\n"
      ") ENGINE = MergeTree PARTITION BY toYYYYMM(day) ORDER BY (tenant, day, unit) "
      "TTL kept + toIntervalDay(40) SETTINGS {}",
      settings);
}

std::string CreateUnitHeads(std::string_view settings) {
  return fmt::format(
      "CREATE TABLE IF NOT EXISTS yagura.event_heads (\n"
      "tenant LowCardinality(String) CODEC(ZSTD(1)),\n"
      "day Date CODEC(ZSTD(1)),\n"
      "sequence UInt32 CODEC(ZSTD(1)),\n"
      "units Array(UInt64) CODEC(NONE),\n"
      "rows UInt64 CODEC(ZSTD(1)),\n"
      "previous_hash FixedString(32) CODEC(NONE),\n"
      "hash FixedString(32) CODEC(NONE),\n"
      "seal_time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),\n"
      "expires DateTime('UTC') CODEC(Delta, ZSTD(1)),\n"
      "key_id LowCardinality(String) CODEC(ZSTD(1)),\n"
      "signature String CODEC(NONE),\n"
      "kept DateTime('UTC') DEFAULT expires CODEC(Delta, ZSTD(1)),\n"
      "scheme UInt8 DEFAULT 1\n"
      ") ENGINE = MergeTree PARTITION BY toYYYYMM(day) ORDER BY (tenant, day, sequence) "
      "TTL kept + toIntervalDay(1800) SETTINGS {}",
      settings);
}

std::vector<std::string> AlterUnits() {
  return {"ALTER TABLE yagura.event_units ADD COLUMN IF NOT EXISTS scheme UInt8 DEFAULT 1"};
}

std::vector<std::string> AlterUnitHeads() {
  return {"ALTER TABLE yagura.event_heads ADD COLUMN IF NOT EXISTS scheme UInt8 DEFAULT 1",
          "ALTER TABLE yagura.event_heads MODIFY TTL kept + toIntervalDay(1800)"};
}

void EncodeUnit(const EventUnit& unit, eventstore::RowBinaryWriter* out) {
  out->Text(unit.tenant);
  out->Unsigned16(static_cast<uint16_t>(unit.day));
  out->Unsigned64(unit.number);
  out->Raw(unit.digest);
  out->Count(unit.checks.size());
  for (const uint16_t check : unit.checks) out->Unsigned16(check);
  out->Signed64(unit.first_time);
  out->Signed64(unit.last_time);
  out->Unsigned32(unit.expires);
  out->Unsigned32(unit.kept);
  out->Unsigned8(static_cast<uint8_t>(unit.scheme));
}

EventUnit DecodeUnit(const eventstore::Row& row) {
  EventUnit unit;
  unit.tenant = row.at(0).text;
  unit.day = row.at(1).AsSigned();
  unit.number = row.at(2).AsUnsigned();
  unit.digest = row.at(3).text;
  unit.events = row.at(4).AsUnsigned();
  unit.first_time = row.at(5).AsSigned();
  unit.last_time = row.at(6).AsSigned();
  unit.expires = static_cast<uint32_t>(row.at(7).AsUnsigned());
  unit.kept = static_cast<uint32_t>(row.at(8).AsUnsigned());
  unit.stored = row.at(9).AsSigned();
  unit.scheme = static_cast<uint32_t>(row.at(10).AsUnsigned());
  return unit;
}

void EncodeEventHead(const v1::EventHead& head, uint32_t kept, eventstore::RowBinaryWriter* out) {
  out->Text(head.tenant());
  out->Unsigned16(static_cast<uint16_t>(head.day()));
  out->Unsigned32(head.sequence());
  out->Count(static_cast<size_t>(head.units_size()));
  for (const uint64_t unit : head.units()) out->Unsigned64(unit);
  out->Unsigned64(head.event_count());
  out->Raw(head.previous_hash());
  out->Raw(head.hash());
  out->Time(FromProto(head.seal_time()));
  out->Unsigned32(static_cast<uint32_t>(head.expire_time().seconds()));
  out->Text(head.key_id());
  out->Text(head.signature());
  out->Unsigned8(static_cast<uint8_t>(head.scheme()));
  out->Unsigned32(kept);
}

v1::EventHead DecodeEventHead(const eventstore::Row& row) {
  v1::EventHead head;
  head.set_tenant(row.at(0).text);
  head.set_day(row.at(1).AsSigned());
  head.set_sequence(static_cast<uint32_t>(row.at(2).AsUnsigned()));
  for (const eventstore::Value& unit : row.at(3).items) head.add_units(unit.AsUnsigned());
  head.set_event_count(row.at(4).AsUnsigned());
  head.set_previous_hash(row.at(5).text);
  head.set_hash(row.at(6).text);
  *head.mutable_seal_time() = ToProto(TimePoint(std::chrono::nanoseconds(row.at(7).AsSigned())));
  head.mutable_expire_time()->set_seconds(static_cast<int64_t>(row.at(8).AsUnsigned()));
  head.set_key_id(row.at(9).text);
  head.set_signature(row.at(10).text);
  head.set_scheme(static_cast<uint32_t>(row.at(11).AsUnsigned()));
  return head;
}

}  // namespace yagura::archive
