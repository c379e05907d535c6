#include <lz4.h>
#include <zstd.h>

#include <algorithm>
#include <memory>
#include <random>

#include "fmt/format.h"

#include "common/digest/sha256.h"
#include "common/event/batch_codec.h"
#include "common/event/batch_format.h"
#include "common/event/core_table.h"
#include "common/event/dictionary.h"
#include "common/event/event_view.h"
#include "common/text/ascii.h"
#include "common/text/text.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::event {
namespace {

// Limits of full(), low enough that one more event stays within what the reader accepts.
constexpr size_t kFullFieldColumns = kMaxFieldColumns - BatchBuilder::kMaxFieldsPerEvent;
constexpr size_t kFullCells = 4u << 20;
constexpr size_t kFullBytes = 16u << 20;
constexpr size_t kLengths = 4u << 20;  // of all texts, rows and the directory
static_assert(kFullBytes + kMaxEventRawBytes + kLengths <= kMaxSectionBytes);
static_assert(kFullBytes + 3 * kMaxEventValueBytes + 2 * kFullCells + kLengths <= kMaxSectionBytes);

void PutRows(std::string& out, const std::vector<uint16_t>& rows, size_t events, size_t distinct) {
  size_t present = 0;
  bool identity = distinct == events && rows.size() == events;
  for (size_t row = 0; row < rows.size(); ++row) {
    present += rows[row] != 0;
    identity = identity && rows[row] == row + 1;
  }
  const size_t dense = events * (distinct < 256 ? 1 : 2);
  if (present == events && distinct == 1) {
    out.push_back(static_cast<char>(RowMode::kConstant));
  } else if (identity) {
    out.push_back(static_cast<char>(RowMode::kIdentity));
  } else if (present * 3 < dense) {
    out.push_back(static_cast<char>(RowMode::kSparse));
    PutVarint(out, present);
    size_t next = 0;
    for (size_t row = 0; row < rows.size(); ++row) {
      if (rows[row] == 0) continue;
      PutVarint(out, row - next);
      PutVarint(out, rows[row]);
      next = row + 1;
    }
  } else {
    const bool wide = distinct >= 256;
    out.push_back(static_cast<char>(wide ? RowMode::kWords : RowMode::kBytes));
    for (size_t row = 0; row < events; ++row) {
      const uint16_t value = row < rows.size() ? rows[row] : 0;
      out.push_back(static_cast<char>(value));
      if (wide) out.push_back(static_cast<char>(value >> 8));
    }
  }
}

struct TextColumn {
  Dictionary dictionary;
  std::vector<uint16_t> rows;

  void Set(size_t row, uint16_t value) {
    rows.resize(row, 0);
    rows.push_back(value);
  }
  void Clear() {
    dictionary.Clear();
    rows.clear();
  }
  void Write(std::string& out, size_t events) const {
    dictionary.Write(out);
    PutRows(out, rows, events, dictionary.size());
  }
};

struct NumberColumn {
  NumberDictionary dictionary;
  std::vector<uint16_t> rows;

  void Set(size_t row, int64_t value, uint64_t seed) {
    rows.resize(row, 0);
    rows.push_back(dictionary.Intern(value, seed));
  }
  void Clear() {
    dictionary.Clear();
    rows.clear();
  }
  void Write(std::string& out, size_t events, ColumnKind kind) const {
    PutVarint(out, dictionary.numbers().size());
    for (const int64_t number : dictionary.numbers()) {
      PutVarint(out, kind == ColumnKind::kTime ? ZigZag(number) : static_cast<uint64_t>(number));
    }
    PutRows(out, rows, events, dictionary.numbers().size());
  }
};

constexpr size_t kNone = SIZE_MAX;

// The n-th occurrence of one field name within an event.
struct FieldColumn {
  std::string name;
  size_t occurrence = 0;
  size_t previous = kNone;  // column of the occurrence before this one
  size_t next = kNone;
  TextColumn text;

  bool UsedIn(size_t row) const { return text.rows.size() == row + 1; }
};

void PutLittle(std::string& out, size_t at, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out[at + i] = static_cast<char>(value >> (8 * i));
}

}  // namespace

struct BatchBuilder::Impl {
  BatchHeader header;
  uint64_t seed = std::random_device{}() | uint64_t{std::random_device{}()} << 32;
  size_t events = 0;
  size_t value_bytes = 0;
  std::array<TextColumn, kMaxCore> texts;
  std::array<NumberColumn, kMaxCore> numbers;
  std::vector<std::unique_ptr<FieldColumn>> fields;  // those in use come first
  size_t fields_used = 0;
  StringMap<size_t> first_by_name;
  TextColumn shapes;
  std::string raw;
  std::vector<uint32_t> raw_sizes;
  std::vector<uint16_t> shape;       // of the event being added
  std::vector<uint16_t> last_shape;  // of the event before
  std::string section_a;
  std::string columns;
  std::string section_b;
  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> zstd{ZSTD_createCCtx(), &ZSTD_freeCCtx};
  EventView view;         // scratch of Add(const v1::Event&)
  size_t value_left = 0;  // bytes of values that the event being added may still bring
  bool cut = false;       // it brought more

  std::string_view Fit(std::string_view text, size_t& left) {
    if (text.size() > left) {
      text = text.substr(0, text.size() <= 16 ? 0 : left);  // half an address is none
      cut = true;
    }
    left -= text.size();
    return text;
  }

  uint16_t Intern(Dictionary& dictionary, std::string_view text, bool utf8) {
    if (const uint16_t found = dictionary.FindLast(text)) return found;
    const uint64_t hash = HashBytes(text, seed);
    if (const uint16_t found = dictionary.Find(text, hash)) return found;
    if (utf8 && !IsAscii(text) && !IsValidUtf8(text)) {
      const std::string clean = ToValidUtf8(text);
      return Intern(dictionary, clean, false);
    }
    value_bytes += text.size() + 1;
    return dictionary.Insert(text, hash);
  }

  void Text(Core core, std::string_view text) {
    text = Fit(text, value_left);
    if (text.empty()) return;
    TextColumn& column = texts[static_cast<size_t>(core) - 1];
    column.Set(events, Intern(column.dictionary, text, RowOf(core).utf8));
  }
  void Number(Core core, uint64_t number) {
    if (number == 0) return;
    numbers[static_cast<size_t>(core) - 1].Set(events, static_cast<int64_t>(number), seed);
    value_bytes += 2;
  }
  void Time(Core core, std::optional<std::chrono::nanoseconds> time) {
    if (!time) return;
    numbers[static_cast<size_t>(core) - 1].Set(events, time->count(), seed);
    value_bytes += 2;
  }
  void Time(Core core, std::optional<TimePoint> time) {
    if (time) Time(core, std::optional(time->time_since_epoch()));
  }
  // `first` is the endpoint's address column; the other eight follow it in the enum.
  void End(Core first, const EndpointView& end) {
    const auto core = [first](int offset) {
      return static_cast<Core>(static_cast<int>(first) + offset);
    };
    Text(core(0), end.ip.bytes());
    Number(core(1), end.port);
    Text(core(2), end.translated_ip.bytes());
    Number(core(3), end.translated_port);
    Text(core(4), end.host);
    Text(core(5), end.interface);
    Text(core(6), end.zone);
    Text(core(7), end.mac);
    Text(core(8), end.country);
  }

  size_t NewFieldColumn(std::string_view name, size_t occurrence, size_t previous) {
    if (fields_used == fields.size()) fields.push_back(std::make_unique<FieldColumn>());
    FieldColumn& column = *fields[fields_used];
    column.name = name;
    column.occurrence = occurrence;
    column.previous = previous;
    column.next = kNone;
    value_bytes += name.size() + 2;
    return fields_used++;
  }

  // The column for one more field of that name in the event being added.
  size_t FieldColumnFor(std::string_view name, size_t position) {
    if (position < last_shape.size()) {  // lines of one kind have their fields in one order
      const size_t guess = last_shape[position];
      const FieldColumn& column = *fields[guess];
      if (column.name == name && !column.UsedIn(events) &&
          (column.previous == kNone || fields[column.previous]->UsedIn(events))) {
        return guess;
      }
    }
    std::string clean;
    if (!IsAscii(name) && !IsValidUtf8(name)) name = clean = ToValidUtf8(name);
    const auto found = first_by_name.find(name);
    if (found == first_by_name.end()) {
      const size_t fresh = NewFieldColumn(name, 0, kNone);
      first_by_name.emplace(std::string(name), fresh);
      return fresh;
    }
    size_t at = found->second;
    while (fields[at]->UsedIn(events)) {
      if (fields[at]->next == kNone) {
        const size_t fresh = NewFieldColumn(name, fields[at]->occurrence + 1, at);
        fields[at]->next = fresh;
      }
      at = fields[at]->next;
    }
    return at;
  }

  void Fields(const std::vector<FieldView>& values) {
    shape.clear();
    const size_t count = std::min(values.size(), kMaxFieldsPerEvent);
    for (size_t i = 0; i < count; ++i) {
      const std::string_view name = Fit(values[i].name, value_left);
      const size_t at = FieldColumnFor(name, i);
      TextColumn& column = fields[at]->text;
      const std::string_view value = Fit(values[i].value, value_left);
      column.Set(events, Intern(column.dictionary, value, false));
      shape.push_back(static_cast<uint16_t>(at));
    }
    if (!shape.empty()) {
      const std::string_view bytes(reinterpret_cast<const char*>(shape.data()), shape.size() * 2);
      shapes.Set(events, Intern(shapes.dictionary, bytes, false));
    }
    std::swap(shape, last_shape);
  }

  void Add(const EventView& event) {
    value_left = kMaxEventValueBytes;
    cut = false;
    Text(Core::kSite, event.site);
    Text(Core::kDevice, event.device);
    Time(Core::kReceiveTime, event.receive_time);
    Time(Core::kEventTime, event.event_time);
    Text(Core::kProduct, event.product);
    Text(Core::kCategory, event.category);
    Number(Core::kSeverity, static_cast<uint64_t>(event.severity));
    Number(Core::kAction, static_cast<uint64_t>(event.action));
    End(Core::kSrcIp, event.src);
    End(Core::kDstIp, event.dst);
    Text(Core::kMessage, event.message);
    Text(Core::kProtocol, event.protocol);
    Text(Core::kApp, event.app);
    Number(Core::kBytesOut, event.bytes_out);
    Number(Core::kBytesIn, event.bytes_in);
    Number(Core::kPacketsOut, event.packets_out);
    Number(Core::kPacketsIn, event.packets_in);
    Time(Core::kDuration, event.duration);
    Text(Core::kRule, event.rule);
    Text(Core::kSignatureId, event.signature_id);
    Text(Core::kSignature, event.signature);
    Text(Core::kUser, event.user);
    Text(Core::kUrl, event.url);
    Text(Core::kSession, event.session);
    Text(Core::kVirtualContext, event.virtual_context);
    Text(Core::kDirection, event.direction);
    Text(Core::kProgram, event.program);
    Text(Core::kHost, event.host);
    Text(Core::kOrigin, event.origin);
    Text(Core::kParseError, event.parse_error);
    Text(Core::kVendorEventId, event.vendor_event_id);
    Fields(event.fields);
    size_t raw_left = kMaxEventRawBytes;
    const std::string_view line = Fit(event.raw, raw_left);
    Number(Core::kFlaws, cut ? event.flaws | 1u << v1::TRUNCATED : event.flaws);
    raw += line;
    raw_sizes.push_back(static_cast<uint32_t>(line.size()));
    ++events;
  }

  void Clear() {
    events = 0;
    value_bytes = 0;
    for (TextColumn& column : texts) column.Clear();
    for (NumberColumn& column : numbers) column.Clear();
    for (size_t i = 0; i < fields_used; ++i) fields[i]->text.Clear();
    fields_used = 0;
    first_by_name.clear();
    shapes.Clear();
    raw.clear();
    raw_sizes.clear();
    last_shape.clear();
  }

  void WriteSections() {
    section_a.clear();
    columns.clear();
    section_b.clear();
    PutVarint(section_a, events);
    PutText(section_a, header.tenant);
    PutText(section_a, header.batch_id);
    PutVarint(section_a, ZigZag(header.receive_time.time_since_epoch().count()));
    std::string directory;
    size_t used = 0;
    for (size_t i = 0; i < kMaxCore; ++i) {
      const size_t start = columns.size();
      if (!texts[i].rows.empty()) {
        texts[i].Write(columns, events);
      } else if (!numbers[i].rows.empty()) {
        numbers[i].Write(columns, events, kCoreTable[i].kind);
      } else {
        continue;
      }
      ++used;
      directory.push_back(static_cast<char>(i + 1));
      PutVarint(directory, columns.size() - start);
    }
    PutVarint(section_a, used);
    section_a += directory;
    PutVarint(section_a, fields_used);
    for (size_t i = 0; i < fields_used; ++i) {
      const size_t start = columns.size();
      fields[i]->text.Write(columns, events);
      PutText(section_a, fields[i]->name);
      PutVarint(section_a, fields[i]->occurrence);
      PutVarint(section_a, columns.size() - start);
    }
    const size_t start = columns.size();
    shapes.Write(columns, events);
    PutVarint(section_a, columns.size() - start);
    section_a += columns;
    for (const uint32_t size : raw_sizes) PutVarint(section_b, size);
    section_b += raw;
  }

  // Appends the section; falls to the plain bytes where compression fails (out of memory).
  size_t Compress(std::string& out, const std::string& section, Compression compression) {
    const size_t at = out.size();
    if (compression == Compression::kLz4) {
      const int size = static_cast<int>(section.size());
      out.resize(at + static_cast<size_t>(LZ4_compressBound(size)));
      const int stored =
          LZ4_compress_default(section.data(), &out[at], size, static_cast<int>(out.size() - at));
      out.resize(at + static_cast<size_t>(stored));
    } else if (compression == Compression::kZstd) {
      out.resize(at + ZSTD_compressBound(section.size()));
      const size_t stored = ZSTD_compressCCtx(zstd.get(), &out[at], out.size() - at, section.data(),
                                              section.size(), 1);
      out.resize(at + (ZSTD_isError(stored) ? 0 : stored));
    } else {
      out += section;
    }
    return out.size() - at;
  }

  std::string Write(Compression compression) {
    WriteSections();
    std::string out(kEnvelopeSize, '\0');
    const size_t stored_a = Compress(out, section_a, compression);
    const size_t stored_b = Compress(out, section_b, compression);
    kBatchMagic.copy(out.data(), kBatchMagic.size());
    out[4] = static_cast<char>(compression);
    PutLittle(out, kEventsOffset, events, 2);
    PutLittle(out, 8, section_a.size(), 4);
    PutLittle(out, 12, stored_a, 4);
    PutLittle(out, 16, section_b.size(), 4);
    PutLittle(out, 20, stored_b, 4);
    PutLittle(out, kHashOffset, HashOfBatch(out), 8);
    return out;
  }
};

BatchBuilder::BatchBuilder(BatchHeader header) : impl_(std::make_unique<Impl>()) {
  impl_->header = std::move(header);
}
BatchBuilder::~BatchBuilder() = default;
BatchBuilder::BatchBuilder(BatchBuilder&&) noexcept = default;
BatchBuilder& BatchBuilder::operator=(BatchBuilder&&) noexcept = default;

void BatchBuilder::Add(const EventView& event) { impl_->Add(event); }

void BatchBuilder::Add(const v1::Event& event) {
  FromProto(event, &impl_->view);
  impl_->Add(impl_->view);
}

size_t BatchBuilder::size() const { return impl_->events; }
size_t BatchBuilder::size_bytes() const { return impl_->raw.size() + impl_->value_bytes; }

bool BatchBuilder::full() const {
  return impl_->events >= kMaxEvents || impl_->fields_used > kFullFieldColumns ||
         impl_->events * (impl_->fields_used + kMaxCore) > kFullCells || size_bytes() > kFullBytes;
}

std::string BatchBuilder::Finish() { return Finish(Compression::kZstd); }

std::string BatchBuilder::Finish(Compression compression) {
  std::string batch = impl_->Write(compression);
  impl_->Clear();
  return batch;
}

void BatchBuilder::SetBatchId(std::string id) { impl_->header.batch_id = std::move(id); }

void BatchBuilder::Reset(BatchHeader header) {
  impl_->Clear();
  impl_->header = std::move(header);
}

std::string EventId(std::string_view batch_id, size_t index) {
  return fmt::format("{}-{}", batch_id, index);
}

std::string BatchIdOf(const std::vector<std::string_view>& parts) {
  std::string text;
  for (const std::string_view part : parts) PutText(text, part);
  const std::string digest = Sha256(text);
  constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuv";
  std::string id;
  for (size_t i = 0; i < 26; ++i) {  // five bits a digit, the first 130 of the digest
    const size_t bit = i * 5;
    const auto byte = [&digest](size_t at) { return static_cast<unsigned char>(digest[at]); };
    const unsigned pair = static_cast<unsigned>(byte(bit / 8)) << 8 | byte(bit / 8 + 1);
    id.push_back(kDigits[pair >> (11 - bit % 8) & 31]);
  }
  return id;
}

}  // namespace yagura::event
