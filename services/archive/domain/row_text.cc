#include "services/archive/domain/row_text.h"

#include <algorithm>
#include <array>

#include "fmt/format.h"

#include "services/archive/domain/block_column.h"

namespace yagura::archive {
namespace {

using event::Column;
using event::Core;

// Columns of every row: receive_time, id, origin and raw.
constexpr size_t kAlways = 4;

enum class Kind : uint8_t { kText, kNumber, kNumber32, kEnum, kAddress, kFlaws };

struct ProvenColumn {
  std::string_view name;
  Kind kind;
  Core core;
};

// Scheme 2. Nothing of it may ever change.
constexpr std::array kColumns{
    ProvenColumn{"event_time", Kind::kNumber, Core::kEventTime},
    ProvenColumn{"site", Kind::kText, Core::kSite},
    ProvenColumn{"device", Kind::kText, Core::kDevice},
    ProvenColumn{"product", Kind::kText, Core::kProduct},
    ProvenColumn{"category", Kind::kText, Core::kCategory},
    ProvenColumn{"severity", Kind::kEnum, Core::kSeverity},
    ProvenColumn{"action", Kind::kEnum, Core::kAction},
    ProvenColumn{"src_ip", Kind::kAddress, Core::kSrcIp},
    ProvenColumn{"src_port", Kind::kNumber32, Core::kSrcPort},
    ProvenColumn{"src_translated_ip", Kind::kAddress, Core::kSrcTranslatedIp},
    ProvenColumn{"src_translated_port", Kind::kNumber32, Core::kSrcTranslatedPort},
    ProvenColumn{"src_host", Kind::kText, Core::kSrcHost},
    ProvenColumn{"src_interface", Kind::kText, Core::kSrcInterface},
    ProvenColumn{"src_zone", Kind::kText, Core::kSrcZone},
    ProvenColumn{"src_mac", Kind::kText, Core::kSrcMac},
    ProvenColumn{"src_country", Kind::kText, Core::kSrcCountry},
    ProvenColumn{"dst_ip", Kind::kAddress, Core::kDstIp},
    ProvenColumn{"dst_port", Kind::kNumber32, Core::kDstPort},
    ProvenColumn{"dst_translated_ip", Kind::kAddress, Core::kDstTranslatedIp},
    ProvenColumn{"dst_translated_port", Kind::kNumber32, Core::kDstTranslatedPort},
    ProvenColumn{"dst_host", Kind::kText, Core::kDstHost},
    ProvenColumn{"dst_interface", Kind::kText, Core::kDstInterface},
    ProvenColumn{"dst_zone", Kind::kText, Core::kDstZone},
    ProvenColumn{"dst_mac", Kind::kText, Core::kDstMac},
    ProvenColumn{"dst_country", Kind::kText, Core::kDstCountry},
    ProvenColumn{"message", Kind::kText, Core::kMessage},
    ProvenColumn{"protocol", Kind::kText, Core::kProtocol},
    ProvenColumn{"app", Kind::kText, Core::kApp},
    ProvenColumn{"bytes_out", Kind::kNumber, Core::kBytesOut},
    ProvenColumn{"bytes_in", Kind::kNumber, Core::kBytesIn},
    ProvenColumn{"packets_out", Kind::kNumber, Core::kPacketsOut},
    ProvenColumn{"packets_in", Kind::kNumber, Core::kPacketsIn},
    ProvenColumn{"duration", Kind::kNumber, Core::kDuration},
    ProvenColumn{"rule", Kind::kText, Core::kRule},
    ProvenColumn{"signature_id", Kind::kText, Core::kSignatureId},
    ProvenColumn{"signature", Kind::kText, Core::kSignature},
    ProvenColumn{"user", Kind::kText, Core::kUser},
    ProvenColumn{"url", Kind::kText, Core::kUrl},
    ProvenColumn{"session", Kind::kText, Core::kSession},
    ProvenColumn{"virtual_context", Kind::kText, Core::kVirtualContext},
    ProvenColumn{"direction", Kind::kText, Core::kDirection},
    ProvenColumn{"program", Kind::kText, Core::kProgram},
    ProvenColumn{"host", Kind::kText, Core::kHost},
    ProvenColumn{"flaws", Kind::kFlaws, Core::kFlaws},
    ProvenColumn{"parse_error", Kind::kText, Core::kParseError},
    ProvenColumn{"vendor_event_id", Kind::kText, Core::kVendorEventId},
};

template <typename Number>
void AppendBigEndian(Number number, std::string* out) {
  std::array<char, sizeof(Number)> bytes{};
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(number >> (8 * (bytes.size() - 1 - i)));
  }
  out->append(bytes.data(), bytes.size());
}

void AppendText(std::string_view text, std::string* out) {
  AppendBigEndian<uint64_t>(text.size(), out);
  out->append(text);
}

void AppendAlways(int64_t receive_time, std::string_view id, std::string_view origin,
                  std::string_view raw, std::string* out) {
  AppendBigEndian(static_cast<uint64_t>(receive_time), out);
  AppendText(id, out);
  AppendText(origin, out);
  AppendText(raw, out);
}

// What a row does not have is not in its text.
void AppendNumberOf(size_t column, uint64_t number, std::string* out) {
  if (number == 0) return;
  out->push_back(static_cast<char>(column + 1));
  AppendBigEndian(number, out);
}

void AppendTextOf(size_t column, std::string_view text, std::string* out) {
  if (text.empty()) return;
  out->push_back(static_cast<char>(column + 1));
  AppendBigEndian(static_cast<uint32_t>(text.size()), out);
  out->append(text);
}

// `append` appends the 16 bytes that are stored.
template <typename Append>
void AppendAddressOf(size_t column, const Append& append, std::string* out) {
  const size_t before = out->size();
  out->push_back(static_cast<char>(column + 1));
  append(out);
  if (std::string_view(*out).substr(before + 1) == kNoAddress) out->resize(before);
}

void AppendValue(size_t number, const Column& column, size_t value, std::string* out) {
  switch (kColumns[number].kind) {
    case Kind::kText:
      AppendTextOf(number, column.texts[value], out);
      break;
    case Kind::kAddress:
      AppendAddressOf(
          number, [&](std::string* bytes) { AppendStoredAddress(column.texts[value], bytes); },
          out);
      break;
    case Kind::kNumber32:
      AppendNumberOf(number, static_cast<uint32_t>(column.numbers[value]), out);
      break;
    case Kind::kEnum:
      AppendNumberOf(number, EnumByte(static_cast<uint64_t>(column.numbers[value])), out);
      break;
    default:
      AppendNumberOf(number, static_cast<uint64_t>(column.numbers[value]), out);
  }
}

std::string SqlOf(const ProvenColumn& column) {
  if (column.core == Core::kEventTime) return "toUnixTimestamp64Nano(event_time)";
  return column.kind == Kind::kText ? fmt::format("toString(`{}`)", column.name)
                                    : fmt::format("`{}`", column.name);
}

}  // namespace

std::vector<std::string_view> ProvenColumns() {
  std::vector<std::string_view> names;
  for (const ProvenColumn& column : kColumns) names.push_back(column.name);
  return names;
}

BatchTexts::BatchTexts(const BatchRows& batch) : batch_(batch) {
  for (size_t i = 0; i < kColumns.size(); ++i) {
    const Column& column = batch.At(kColumns[i].core);
    // That its clock is wrong is found out row by row.
    const bool flaws = kColumns[i].kind == Kind::kFlaws;
    if (!flaws && column.empty()) continue;
    Part& part = parts_.emplace_back(Part{i, &column, {}, {0}});
    for (size_t value = 0; !flaws && value < column.distinct(); ++value) {
      AppendValue(i, column, value, &part.texts);
      part.ends.push_back(part.texts.size());
    }
  }
}

std::string_view BatchTexts::TextOf(uint16_t row, std::string_view id) {
  text_.clear();
  AppendAlways(batch_.ReceiveTime(row), id, batch_.At(Core::kOrigin).text(row), batch_.Raw(row),
               &text_);
  for (const Part& part : parts_) {
    if (part.column->has(row) && part.ends.size() > 1) {
      const size_t value = part.column->rows[row];
      text_.append(part.texts.data() + part.ends[value - 1],
                   part.ends[value] - part.ends[value - 1]);
    } else if (kColumns[part.number].kind == Kind::kFlaws) {
      flaws_.clear();
      AppendStoredFlaws(batch_, row, &flaws_);
      AppendTextOf(part.number, flaws_, &text_);
    }
  }
  return text_;
}

std::string RowTextSql(bool with_columns) {
  std::string sql = "toUnixTimestamp64Nano(receive_time), id, toString(origin), raw";
  if (!with_columns) return sql;
  for (const ProvenColumn& column : kColumns) sql += ", " + SqlOf(column);
  return sql;
}

int64_t RowReceiveTime(const eventstore::Row& row, size_t first) {
  return row.at(first).AsSigned();
}

std::string_view RowId(const eventstore::Row& row, size_t first) { return row.at(first + 1).text; }

void RowText(const eventstore::Row& row, size_t first, bool with_columns, std::string* text) {
  text->clear();
  AppendAlways(RowReceiveTime(row, first), RowId(row, first), row.at(first + 2).text,
               row.at(first + 3).text, text);
  if (!with_columns) return;
  for (size_t i = 0; i < kColumns.size(); ++i) {
    const eventstore::Value& value = row.at(first + kAlways + i);
    switch (kColumns[i].kind) {
      case Kind::kText:
        AppendTextOf(i, value.text, text);
        break;
      case Kind::kAddress:
        AppendAddressOf(
            i, [&value](std::string* out) { out->append(value.text); }, text);
        break;
      case Kind::kFlaws: {
        std::string flaws;
        for (const eventstore::Value& flaw : value.items) {
          flaws.push_back(static_cast<char>(flaw.AsUnsigned()));
        }
        AppendTextOf(i, flaws, text);
        break;
      }
      default:
        AppendNumberOf(i, value.AsUnsigned(), text);
    }
  }
}

}  // namespace yagura::archive
