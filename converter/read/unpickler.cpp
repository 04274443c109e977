#include "read/unpickler.h"

#include "read/elements.h"
#include "read/error.h"
#include "read/json.h"
#include "read/pickle_opcodes.h"
#include "read/text.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <unordered_map>

namespace mote::convert {

namespace {

constexpr size_t kMaxValues = size_t(1) << 20; // a tensor takes about 15
constexpr size_t kMaxRank = 8;

struct StorageClass {
    const char *global, *type;
};
constexpr StorageClass kStorageClasses[] = {
    {"torch.FloatStorage", "F32"},  {"torch.HalfStorage", "F16"}, {"torch.BFloat16Storage", "BF16"},
    {"torch.DoubleStorage", "F64"}, {"torch.LongStorage", "I64"}, {"torch.IntStorage", "I32"},
    {"torch.ShortStorage", "I16"},  {"torch.CharStorage", "I8"},  {"torch.ByteStorage", "U8"},
    {"torch.BoolStorage", "BOOL"},
};
constexpr const char *kOrderedDict = "collections.OrderedDict";
constexpr const char *kRebuildTensor = "torch._utils._rebuild_tensor_v2";
constexpr const char *kRebuildParameter = "torch._utils._rebuild_parameter";

enum class Kind { None, Boolean, Integer, Float, Text, Tuple, List, Dict, Global, Storage, Tensor };

const char *nameOf(Kind kind) {
    switch (kind) {
    case Kind::None:
        return "None";
    case Kind::Boolean:
        return "a boolean";
    case Kind::Integer:
        return "a whole number";
    case Kind::Float:
        return "a number";
    case Kind::Text:
        return "a text";
    case Kind::Tuple:
        return "a tuple";
    case Kind::List:
        return "a list";
    case Kind::Dict:
        return "a dictionary";
    case Kind::Global:
        return "a global";
    case Kind::Storage:
        return "a storage";
    case Kind::Tensor:
        return "a tensor";
    }
    return "nothing";
}

using Handle = uint32_t; // of a value; values refer to each other by it, so a cycle is harmless

struct Value {
    Kind kind = Kind::None;
    int64_t integer = 0;       // Integer; Storage: elements; Tensor: index of tensors_
    std::string text;          // Text, Global; Storage: key
    const char *type = "";     // Storage
    std::vector<Handle> items; // Tuple, List; Dict: key, value, key, value
};

class Machine {
public:
    Machine(std::string_view pickle, const std::string &where) : pickle_(pickle), where_(where) {}

    std::vector<PickledTensor> run() {
        while (step()) {
        }
        if (at_ != pickle_.size())
            fail(text(pickle_.size() - at_, " bytes follow STOP, expected none"));
        return stateDict(pop());
    }

private:
    [[noreturn]] void fail(const std::string &what) const {
        throw ReadError(text(where_, ": pickle byte ", at_, ": ", what));
    }
    static std::string shown(const std::string &name) { return shownJson(nlohmann::json(name)); }

    // ------------------------------------------------------------------------------------------ bytes
    std::string_view take(size_t count) {
        if (count > pickle_.size() - at_)
            fail(text("ends where ", count, " more bytes are needed"));
        const std::string_view bytes = pickle_.substr(at_, count);
        at_ += count;
        return bytes;
    }
    uint32_t number(size_t bytes) {
        uint32_t value = 0;
        int shift = 0;
        for (char byte : take(bytes)) {
            value |= static_cast<uint32_t>(static_cast<uint8_t>(byte)) << shift;
            shift += 8;
        }
        return value;
    }
    std::string line() {
        const size_t end = pickle_.find('\n', at_);
        if (end == std::string_view::npos)
            fail("ends within a global's name");
        const std::string_view all = take(end - at_ + 1);
        return std::string(all.substr(0, all.size() - 1));
    }

    // ------------------------------------------------------------------------------------------ stack
    Handle make(Value value) {
        if (values_.size() >= kMaxValues)
            fail(text("makes more than ", kMaxValues, " values"));
        values_.push_back(std::move(value));
        return static_cast<Handle>(values_.size() - 1);
    }
    void push(Handle handle) { stack_.push_back(handle); }
    void push(Value value) { push(make(std::move(value))); }
    Handle pop() {
        if (stack_.size() <= (marks_.empty() ? 0 : marks_.back()))
            fail("takes a value from an empty stack");
        const Handle handle = stack_.back();
        stack_.pop_back();
        return handle;
    }
    std::vector<Handle> popMarked() {
        if (marks_.empty())
            fail("takes values from a mark that was not set");
        const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
        std::vector<Handle> items(begin, stack_.end());
        stack_.erase(begin, stack_.end());
        marks_.pop_back();
        return items;
    }
    Value &top(Kind kind) {
        const Handle handle = pop();
        push(handle);
        if (values_[handle].kind != kind)
            fail(text("expected ", nameOf(kind), ", found ", nameOf(values_[handle].kind)));
        return values_[handle];
    }
    const Value &expect(Handle handle, Kind kind, const char *what) const {
        if (values_[handle].kind != kind)
            fail(text(what, ": expected ", nameOf(kind), ", found ", nameOf(values_[handle].kind)));
        return values_[handle];
    }
    static Value integer(int64_t number) {
        Value value;
        value.kind = Kind::Integer;
        value.integer = number;
        return value;
    }
    static Value container(Kind kind, std::vector<Handle> items = {}) {
        Value value;
        value.kind = kind;
        value.items = std::move(items);
        return value;
    }

    // ------------------------------------------------------------------------------------------ opcodes
    bool step() {
        const auto code = static_cast<uint8_t>(take(1)[0]);
        switch (code) {
        case 0x80: // PROTO
            if (const uint32_t version = number(1); version > 5)
                fail(text("protocol ", version, ", expected at most 5"));
            return true;
        case '.': // STOP
            return false;
        case '(': // MARK
            marks_.push_back(stack_.size());
            return true;
        case 'N': // NONE
            push(Value{});
            return true;
        case 0x88: // NEWTRUE
        case 0x89: // NEWFALSE
            push(container(Kind::Boolean));
            return true;
        case 'J': // BININT
            push(integer(static_cast<int32_t>(number(4))));
            return true;
        case 'K': // BININT1
            push(integer(number(1)));
            return true;
        case 'M': // BININT2
            push(integer(number(2)));
            return true;
        case 0x8a: // LONG1
            push(integer(longNumber(number(1))));
            return true;
        case 'G': // BINFLOAT
            take(8);
            push(container(Kind::Float));
            return true;
        case 'X': { // BINUNICODE
            Value value;
            value.kind = Kind::Text;
            value.text = std::string(take(number(4)));
            push(std::move(value));
            return true;
        }
        case ')': // EMPTY_TUPLE
            push(container(Kind::Tuple));
            return true;
        case ']': // EMPTY_LIST
            push(container(Kind::List));
            return true;
        case '}': // EMPTY_DICT
            push(container(Kind::Dict));
            return true;
        case 't': // TUPLE
            push(container(Kind::Tuple, popMarked()));
            return true;
        case 0x85:   // TUPLE1
        case 0x86:   // TUPLE2
        case 0x87: { // TUPLE3
            std::vector<Handle> items(code - 0x84);
            for (size_t i = items.size(); i-- > 0;)
                items[i] = pop();
            push(container(Kind::Tuple, std::move(items)));
            return true;
        }
        case 'a': { // APPEND
            const Handle item = pop();
            top(Kind::List).items.push_back(item);
            return true;
        }
        case 'e': { // APPENDS
            const std::vector<Handle> items = popMarked();
            std::vector<Handle> &all = top(Kind::List).items;
            all.insert(all.end(), items.begin(), items.end());
            return true;
        }
        case 's': { // SETITEM
            const Handle value = pop(), key = pop();
            std::vector<Handle> &all = top(Kind::Dict).items;
            all.insert(all.end(), {key, value});
            return true;
        }
        case 'u': { // SETITEMS
            const std::vector<Handle> items = popMarked();
            if (items.size() % 2 != 0)
                fail("a dictionary's key has no value");
            std::vector<Handle> &all = top(Kind::Dict).items;
            all.insert(all.end(), items.begin(), items.end());
            return true;
        }
        case 'q':   // BINPUT
        case 'r': { // LONG_BINPUT
            const uint32_t index = number(code == 'q' ? 1 : 4);
            const Handle value = pop();
            push(value);
            memo_[index] = value;
            return true;
        }
        case 'h':   // BINGET
        case 'j': { // LONG_BINGET
            const uint32_t index = number(code == 'h' ? 1 : 4);
            const auto found = memo_.find(index);
            if (found == memo_.end())
                fail(text("memo ", index, " was not set"));
            push(found->second);
            return true;
        }
        case 'c': // GLOBAL
            global();
            return true;
        case 'Q': // BINPERSID
            persistent(pop());
            return true;
        case 'R': { // REDUCE
            const Handle arguments = pop(), callable = pop();
            reduce(expect(callable, Kind::Global, "REDUCE calls").text,
                   expect(arguments, Kind::Tuple, "arguments").items);
            return true;
        }
        case 'b': { // BUILD: torch gives a state dict an attribute, _metadata; it says nothing of tensors
            expect(pop(), Kind::Dict, "BUILD's state");
            top(Kind::Dict);
            return true;
        }
        default:
            break;
        }
        if (const char *name = unreadOpcode(code); name != nullptr)
            fail(text("opcode ", name,
                      " is not read; a state dict written by torch.save with pickle_protocol=2, the default, "
                      "has none"));
        fail(text("opcode ", unsigned(code), " is not one of pickle's"));
    }

    int64_t longNumber(uint32_t bytes) { // two's complement, little-endian
        if (bytes > 8)
            fail(text("a whole number of ", bytes, " bytes, expected at most 8"));
        uint64_t value = 0;
        const std::string_view all = take(bytes);
        for (size_t i = all.size(); i-- > 0;)
            value = value << 8 | static_cast<uint8_t>(all[i]);
        if (bytes > 0 && bytes < 8 && (all.back() & 0x80) != 0)
            value |= ~uint64_t(0) << (8 * bytes);
        return static_cast<int64_t>(value);
    }

    void global() {
        const std::string module = line(), name = line();
        Value value;
        value.kind = Kind::Global;
        value.text = text(module, ".", name);
        const bool known = value.text == kOrderedDict || value.text == kRebuildTensor ||
                           value.text == kRebuildParameter || storageClass(value.text) != nullptr;
        if (!known)
            fail(text(
                "global ", shown(value.text),
                " is not read, and nothing of it was called; expected a state "
                "dict, as torch.save(model.state_dict(), FILE) writes it: tensors and their names only"));
        push(std::move(value));
    }

    static const StorageClass *storageClass(const std::string &name) {
        for (const StorageClass &known : kStorageClasses)
            if (name == known.global)
                return &known;
        return nullptr;
    }

    // ('storage', torch.FloatStorage, key, device, elements)
    void persistent(Handle id) {
        const std::vector<Handle> &parts = expect(id, Kind::Tuple, "persistent id").items;
        if (parts.size() != 5 || expect(parts[0], Kind::Text, "persistent id").text != "storage")
            fail(text("a persistent id of ", parts.size(),
                      " parts, expected ('storage', class, key, device, number of elements)"));
        const StorageClass *type = storageClass(expect(parts[1], Kind::Global, "storage class").text);
        if (type == nullptr)
            fail(text("storage class ", shown(values_[parts[1]].text), ", expected one of torch's"));
        Value storage;
        storage.kind = Kind::Storage;
        storage.type = type->type;
        storage.text = expect(parts[2], Kind::Text, "storage key").text;
        expect(parts[3], Kind::Text, "storage device");
        storage.integer = expect(parts[4], Kind::Integer, "storage size").integer;
        if (storage.integer < 0)
            fail(text("a storage of ", storage.integer, " elements"));
        push(std::move(storage));
    }

    void reduce(const std::string &callable, const std::vector<Handle> &arguments) {
        if (callable == kOrderedDict && arguments.empty())
            push(container(Kind::Dict));
        else if (callable == kRebuildTensor && (arguments.size() == 6 || arguments.size() == 7))
            tensor(arguments);
        else if (callable == kRebuildParameter && arguments.size() == 3) {
            expect(arguments[0], Kind::Tensor, "a parameter's data");
            push(arguments[0]);
        } else
            fail(text(shown(callable), " with ", arguments.size(),
                      " arguments is not read, and was not called"));
    }

    std::vector<uint64_t> sizes(Handle tuple, const char *what) const {
        const Value &all = expect(tuple, Kind::Tuple, what);
        if (all.items.size() > kMaxRank)
            fail(text(what, " of ", all.items.size(), " dimensions, expected at most ", kMaxRank));
        std::vector<uint64_t> result;
        for (Handle item : all.items) {
            const int64_t size = expect(item, Kind::Integer, what).integer;
            if (size < 0)
                fail(text(what, " ", size, ", expected 0 or more"));
            result.push_back(static_cast<uint64_t>(size));
        }
        return result;
    }

    // (storage, offset, size, stride, requires_grad, hooks[, metadata])
    void tensor(const std::vector<Handle> &arguments) {
        const Value &storage = expect(arguments[0], Kind::Storage, "a tensor's storage");
        PickledTensor tensor;
        tensor.type = storage.type;
        tensor.storage = storage.text;
        tensor.storageElements = static_cast<uint64_t>(storage.integer);
        const int64_t offset = expect(arguments[1], Kind::Integer, "a tensor's offset").integer;
        if (offset < 0)
            fail(text("a tensor's offset ", offset, ", expected 0 or more"));
        tensor.offset = static_cast<uint64_t>(offset);
        tensor.shape = sizes(arguments[2], "a tensor's size");
        tensor.strides = sizes(arguments[3], "a tensor's stride");
        if (tensor.shape.size() != tensor.strides.size())
            fail(text("a tensor of ", tensor.shape.size(), " sizes and ", tensor.strides.size(), " strides"));
        if (arguments.size() == 7)
            expect(arguments[6], Kind::None, "a tensor's metadata");
        const bool empty = std::find(tensor.shape.begin(), tensor.shape.end(), 0u) != tensor.shape.end();
        // The storage has this many elements, so nothing that stays below can overflow.
        uint64_t elements = 1, last = tensor.offset;
        for (size_t i = 0; i < tensor.shape.size() && !empty; ++i) {
            if (elements > tensor.storageElements / tensor.shape[i])
                fail(text(
                    "a tensor with more elements than its storage, which has ", tensor.storageElements,
                    "; expected elements of their own (an expanded tensor is saved after .contiguous())"));
            elements *= tensor.shape[i];
            const uint64_t steps = tensor.shape[i] - 1;
            if (steps != 0 && tensor.strides[i] > (std::numeric_limits<uint64_t>::max() - last) / steps)
                fail(text("a tensor's stride ", tensor.strides[i], ", expected one within its storage"));
            last += steps * tensor.strides[i];
        }
        if (!empty && last >= tensor.storageElements)
            fail(text("a tensor that reaches element ", last, " of a storage of ", tensor.storageElements));
        Value value;
        value.kind = Kind::Tensor;
        value.integer = static_cast<int64_t>(tensors_.size());
        tensors_.push_back(std::move(tensor));
        push(std::move(value));
    }

    // ------------------------------------------------------------------------------------------ result
    std::string contentOf(const Value &dict) const {
        constexpr size_t kMost = 8;
        std::string all;
        for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
            if (i == 2 * kMost)
                return text(all, ", and ", dict.items.size() / 2 - kMost, " more");
            const Value &key = values_[dict.items[i]], &value = values_[dict.items[i + 1]];
            all += text(i == 0 ? "" : ", ", key.kind == Kind::Text ? shown(key.text) : nameOf(key.kind), ": ",
                        nameOf(value.kind));
            if (value.kind == Kind::Dict)
                all += text(" of ", value.items.size() / 2);
        }
        return all.empty() ? "nothing" : all;
    }

    std::vector<PickledTensor> stateDict(Handle root) const {
        const Value &dict = values_[root];
        if (dict.kind != Kind::Dict)
            throw ReadError(text(where_, ": holds ", nameOf(dict.kind),
                                 ", expected a state dict: names and their tensors"));
        std::vector<PickledTensor> result;
        std::set<std::string> names;
        for (size_t i = 0; i < dict.items.size(); i += 2) {
            const Value &key = values_[dict.items[i]], &value = values_[dict.items[i + 1]];
            if (key.kind != Kind::Text || value.kind != Kind::Tensor)
                throw ReadError(
                    text(where_, ": holds a dictionary with ", contentOf(dict),
                         "; expected a state dict, names and their tensors. Save the part that is "
                         "one: torch.save(torch.load(FILE)[KEY], NEW_FILE)"));
            if (!names.insert(key.text).second)
                throw ReadError(text(where_, ": tensor ", shown(key.text), " occurs twice"));
            result.push_back(tensors_[static_cast<size_t>(value.integer)]);
            result.back().name = key.text;
        }
        return result;
    }

    const std::string_view pickle_;
    const std::string &where_;
    size_t at_ = 0;
    std::vector<Value> values_;
    std::vector<Handle> stack_;
    std::vector<size_t> marks_; // stack sizes
    std::unordered_map<uint32_t, Handle> memo_;
    std::vector<PickledTensor> tensors_;
};

} // namespace

std::vector<PickledTensor> unpickleStateDict(std::string_view pickle, const std::string &where) {
    return Machine(pickle, where).run();
}

} // namespace mote::convert
