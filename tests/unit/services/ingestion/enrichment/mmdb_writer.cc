#include "mmdb_writer.h"

#include <cstdlib>
#include <fstream>

#include "services/ingestion/domain/enrichment/network.h"

namespace yagura::ingestion {
namespace {

constexpr int kText = 2;
constexpr int kUint16 = 5;
constexpr int kUint32 = 6;
constexpr int kMap = 7;
constexpr int kUint64 = 9;
constexpr int kArray = 11;

std::string BigEndian(uint64_t number) {
  std::string bytes;
  for (int shift = 56; shift >= 0; shift -= 8) {
    const auto byte = static_cast<char>(number >> shift & 0xff);
    if (byte != 0 || !bytes.empty()) bytes += byte;
  }
  return bytes;
}

}  // namespace

void MmdbWriter::Head(int type, size_t size, std::string* out) {
  const auto shown = static_cast<int>(size < 29 ? size : 29);
  if (size >= 285) std::abort();
  if (type < 8) {
    *out += static_cast<char>(type << 5 | shown);
  } else {
    *out += static_cast<char>(shown);
    *out += static_cast<char>(type - 7);
  }
  if (size >= 29) *out += static_cast<char>(size - 29);
}

void MmdbWriter::Encode(const Value& value, std::string* out) {
  if (const auto* text = std::get_if<std::string>(&value.is)) {
    Head(kText, text->size(), out);
    *out += *text;
  } else if (const auto* number = std::get_if<uint32_t>(&value.is)) {
    const std::string bytes = BigEndian(*number);
    Head(kUint32, bytes.size(), out);
    *out += bytes;
  } else {
    const Map& map = std::get<Map>(value.is);
    Head(kMap, map.size(), out);
    for (const auto& [name, one] : map) {
      Encode(Value(name.c_str()), out);
      Encode(one, out);
    }
  }
}

void MmdbWriter::Add(const std::string& text, const Map& facts) {
  auto network = ParseNetwork(text);
  if (!network) std::abort();
  // In the files an IPv4 address is ::a.b.c.d.
  if (network->prefix >= 96 && network->address[10] == 0xff && network->address[11] == 0xff) {
    network->address[10] = network->address[11] = 0;
  }
  const auto offset = static_cast<int64_t>(data_.size());
  Encode(Value(facts), &data_);
  size_t node = 0;
  for (int bit = 0; bit < network->prefix; ++bit) {
    const size_t side = network->address[static_cast<size_t>(bit / 8)] >> (7 - bit % 8) & 1;
    if (bit == network->prefix - 1) {
      nodes_[node].next[side] = -1 - offset;
      return;
    }
    int64_t next = nodes_[node].next[side];
    if (next == 0) {
      next = static_cast<int64_t>(nodes_.size());
      nodes_.emplace_back();
      nodes_[node].next[side] = next;
    }
    if (next < 0) std::abort();
    node = static_cast<size_t>(next);
  }
}

void MmdbWriter::Write(const std::filesystem::path& file) const {
  constexpr int64_t kSeparator = 16;
  const auto count = static_cast<int64_t>(nodes_.size());
  std::string out;
  for (const Node& node : nodes_) {
    for (const int64_t next : node.next) {
      const int64_t record = next == 0 ? count : next > 0 ? next : count + kSeparator + (-1 - next);
      for (int shift = 16; shift >= 0; shift -= 8) out += static_cast<char>(record >> shift & 0xff);
    }
  }
  out.append(kSeparator, '\0');
  out += data_;
  out += "\xab\xcd\xefMaxMind.com";
  Head(kMap, 9, &out);
  const auto text = [&out](const char* value) { Encode(Value(value), &out); };
  const auto number = [&](const char* name, int type, uint64_t value) {
    text(name);
    const std::string bytes = BigEndian(value);
    Head(type, bytes.size(), &out);
    out += bytes;
  };
  number("binary_format_major_version", kUint16, 2);
  number("binary_format_minor_version", kUint16, 0);
  number("build_epoch", kUint64, 1'700'000'000);
  text("database_type");
  text("Test");
  text("description");
  Encode(Value(Map{{"en", "test"}}), &out);
  number("ip_version", kUint16, 6);
  text("languages");
  Head(kArray, 0, &out);
  number("node_count", kUint32, nodes_.size());
  number("record_size", kUint16, 24);
  std::ofstream(file, std::ios::binary | std::ios::trunc) << out;
}

}  // namespace yagura::ingestion
